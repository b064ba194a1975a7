"""Recording: what application threads touch.

Reading order: ``series`` (cells that accumulate), ``registry`` (which cells there
are, and ``collect()``), ``instruments`` (the handles that callers keep),
``around`` and ``timer`` (a block or a decorator for every kind of callable),
``observers`` (values that are asked for), ``meter`` (who instruments itself).
"""

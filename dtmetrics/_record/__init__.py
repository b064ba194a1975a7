"""RecordingOptions: what application threads touch.

Reading order: ``series`` (cells that accumulate; ``counter_series``, ``gauge_series``
and ``summary_series`` are its kinds, ``number`` says what may go in), ``families``
(which metric keys there are; each is a ``family``), ``registry`` (which cells there
are, and ``collect()``; beside it ``context``, ``dimensions``, ``recording`` and
``refusals``), ``handle`` and ``instruments`` (what callers keep), ``measure`` (what is
done around one call), ``around`` and below it
``decorator``, ``compiled``, ``calls`` and ``wrapper`` (a block or a decorator for every
kind of callable), ``timed`` and ``timer``, ``observers`` (values that are asked for),
``meter`` (who instruments itself). ``guard`` is where foreign errors end; ``kept`` and
``worker`` serve those who record for a server.
"""

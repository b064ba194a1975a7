"""Recording: what application threads call.

Two ideas. Values accumulate in series (``series``, ``gauge_series``,
``summary_series``), which the ``registry`` makes and collects. Instruments
(``instruments``, ``timer``, ``observable``) are defined through a ``meter``; the
``catalog`` holds what each metric key was defined as.
"""

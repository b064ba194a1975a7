"""What dtmetrics costs, beside its peers and beside the least that is possible.

``python -m benchmarks`` measures everything in one run (needs the extra ``bench``).
Reading order:

``measure``     how: in turns, by the thread's own CPU time
``peers``       how the users of each library write an operation
``table``       what every part returns: rows, columns and a unit
``operations`` ``threads`` ``memory`` ``encoding`` ``imports`` ``stall`` ``growth``
``web`` ``outbound``
                the parts; each runs in a process of its own (``part``)
``goals``       what is promised, and whether it was kept
``machine`` ``report`` ``chart`` ``__main__``
                where it ran; tables, a picture, the command

The files ``test_*.py`` measure the same paths by pytest-benchmark, so that a change can
be compared: ``pytest benchmarks --benchmark-enable --benchmark-autosave``.
"""

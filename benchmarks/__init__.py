"""The cost of dtmetrics, beside its peers and beside the least that is possible.

``python -m benchmarks`` measures everything in one run (needs the extra ``bench``).
Reading order:

``measure``     timing: in turns, by the thread's own CPU time
``peers``       each operation as the users of each library write it
``table``       the result of every part: rows, columns and a unit
``operations`` ``threads`` ``memory`` ``encoding`` ``imports`` ``stall`` ``growth``
``web`` ``outbound``
                the parts; each runs in a process of its own (``part``)
``goals``       promised ratios, and whether they are met
``machine`` ``report`` ``chart`` ``__main__``
                machine and versions; tables, a picture, the command

Two commands stand alone. ``python -m benchmarks.compare PATH`` measures another
checkout in the same run. ``python -m benchmarks.journeys`` counts the files and
functions of an operation. The files ``test_*.py`` measure the same paths by
pytest-benchmark: ``pytest benchmarks --benchmark-enable --benchmark-autosave``.
"""

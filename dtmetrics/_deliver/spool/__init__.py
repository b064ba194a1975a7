"""What waits, on disk as well: a killed process leaves it to others.

Reading order: ``stored`` (what is in a file), ``ground`` (where it may lie), ``folder``
(a directory with a lock), ``holdings`` (what a process holds), ``spool`` (which bodies
are kept, for how long, and those of dead processes).
"""

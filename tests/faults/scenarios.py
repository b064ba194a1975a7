"""All scenarios, theme by theme, and where the plan's, E1 to E42, are built.

======== ================================================= ============================
E1-3     the endpoint refuses, for minutes and for an hour ``outage``
E4-7     it answers later, in part, with others' pages     ``answers``
E8-10    an attempt that hangs, without names, with floods ``attempts``
E11-14   forks: under load, at once, with connections      ``forks``; E12 ``locks``
E15, 17  gunicorn, uWSGI                                   ``workers``
E16      Celery                                            not yet: nor is its module
E18      multiprocessing                                   ``children``
E19, 20  signals, exits in the middle of a post            ``endings``
E21      gevent, eventlet, asyncio, uvloop                 ``tasks``
E22, 24  many threads, none, interpreters; no descriptors  ``threads``; ``limits``
E23      reloaders of Django and Flask                     ``reloads``
E25      functions that are frozen                         ``serverless``; ``clocks``
E26      answers lost, connections reset                   ``ambiguity``
E27      a fleet comes back                                ``load``
E28      the flusher is hurt                               ``flusher``
E29      others' instrumentation of our posts              ``tracing``
E30      clocks that are wrong, set or stand still         ``clocks``
E31, 34  killed while keeping, a spool of many             ``spool``
E32, 33  disks: damaged, full, read-only, forbidden        ``disk``; still: ``stalled``
E35      a spool that others get at                        ``strangers``
E36      fuzzed texts                                      tests/test_fuzz.py
E37      10 million users                                  ``limits``
E38      the token is nowhere                              ``security``
E39      the receiver's strangers, bombs, crowds           ``receiver``; browser not yet
E40      the order of system calls                         ``order``
E41, 42  soak; recording while it is down                  ``load``
======== ================================================= ============================
"""

from __future__ import annotations

from tests.faults import (  # noqa: F401 -- each enters its own
    ambiguity,
    answers,
    attempts,
    children,
    clocks,
    disk,
    endings,
    flusher,
    forks,
    limits,
    load,
    locks,
    order,
    outage,
    receiver,
    reloads,
    security,
    serverless,
    spool,
    stalled,
    strangers,
    tasks,
    threads,
    tracing,
    workers,
)
from tests.faults.campaign import SCENARIOS

__all__ = ["SCENARIOS"]

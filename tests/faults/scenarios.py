"""The list of all scenarios, by subject.

=================== ==================================================================
``outage``          the endpoint is down, for minutes and for more than an hour
``answers``         it answers with errors, partial rejections, a portal's page
``other_servers``   pages of proxies, a balancer with a bad server, another clock
``compression``     it does not take compressed lines
``attempts``        one request hangs, finds no name server, gets a flood as answer
``indeterminate``   answers are lost, connections are reset
``forks``           forks under load, in bursts, with an open connection
``locks``           forks while another thread holds a lock
``workers``         gunicorn and uWSGI replace workers under load
``children``        multiprocessing
``tasks``           gevent, eventlet, asyncio, uvloop
``threads``         many threads, no threads, subinterpreters
``exits``           signals, exit during a request
``reloads``         the reloaders of Django and Flask
``serverless``      functions that are frozen between invocations
``load``            a fleet after an outage, a soak, the cost of recording
``flusher``         callbacks that raise or block, errors in the flusher's thread
``tracing``         OpenTelemetry, Sentry and ddtrace do not trace our requests
``clocks``          clocks that are wrong, are set, or stand still
``spool``           processes killed while they write and while they send
``disk``            damaged files; disks that are full, read-only, forbidden
``reconfigurations`` settings replaced under load, several exporters, rotated tokens
``stalled_disk``    a disk that neither fails nor returns
``spool_tampering`` a spool directory with foreign files, or replaced by a link
``system_calls``    the order of writes, renames and requests
``ways_in``         tokens, proxies and certificates that change under load
``limits``          file descriptors and series run out
``security``        the token appears nowhere
``receiver``        `dtmetrics dev` against slow clients, bombs, other origins
=================== ==================================================================

Fuzzed text is in ``tests/test_fuzz.py``. Celery and a real browser are not covered.
"""

from __future__ import annotations

from tests.faults import (  # noqa: F401 -- importing registers scenarios
    answers,
    attempts,
    children,
    clocks,
    compression,
    disk,
    exits,
    flusher,
    forks,
    indeterminate,
    limits,
    load,
    locks,
    other_servers,
    outage,
    receiver,
    reconfigurations,
    reloads,
    security,
    serverless,
    spool,
    spool_tampering,
    stalled_disk,
    system_calls,
    tasks,
    threads,
    tracing,
    ways_in,
    workers,
)
from tests.faults.campaign import SCENARIOS

__all__ = ["SCENARIOS"]

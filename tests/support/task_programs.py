"""Programs with many tasks in one thread, of which some record and some flush.

They run in rounds, and print what they recorded and the longest time in each round
that a ready task had to wait.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.support.script import expect

GREEN_KINDS = ["gevent", "eventlet"]
GREEN_ORDERS = ["patched first", "imported first", "configured first"]
LOOPS = ["asyncio", "uvloop"]

GREEN = """
import json, sys
from time import perf_counter

which, order, rounds = sys.argv[1:]

def patch():
    if which == "gevent":
        import gevent.monkey
        gevent.monkey.patch_all()
    else:
        import eventlet
        eventlet.monkey_patch()

if order == "patched first":
    patch()
from dtmetrics import configure, counter, flush, stats
if order == "imported first":
    patch()
configure(interval=0.02)
if order == "configured first":
    patch()

if which == "gevent":
    from gevent import joinall, sleep, spawn
else:
    from eventlet import sleep, spawn
    def joinall(tasks): [task.wait() for task in tasks]

orders, answers, blocked = counter("orders"), [], []
recorded = 0

def record(number=1):
    global recorded
    orders.inc(number)
    recorded += number

def load():
    for _ in range(200):
        record()
        sleep(0.0001)

def deliver():
    for _ in range(5):
        record()
        answers.append(flush(5.0))

def watch():
    while True:
        begin = perf_counter()
        sleep(0.001)
        blocked[-1] = max(blocked[-1], perf_counter() - begin)

watcher = spawn(watch)
for _ in range(int(rounds)):
    blocked.append(0.0)
    joinall([spawn(load) for _ in range(20)] + [spawn(deliver) for _ in range(4)])
watcher.kill()
assert len(answers) == 20 * int(rounds) and all(answers), answers
assert flush()
counts = stats()
assert counts.collected == counts.accepted, counts
record(7)
print(json.dumps([recorded, blocked]))
"""

ASYNC = """
import asyncio, json, sys
from time import perf_counter
from dtmetrics import configure, counter, flush, stats, timed

configure(interval=0.02)
orders, blocked = counter("orders"), []
recorded = 0

def record(number=1):
    global recorded
    orders.inc(number)
    recorded += number

@timed
async def work():
    for _ in range(200):
        record()
        await asyncio.sleep(0.0001)

async def deliver():
    for _ in range(5):
        record()
        assert await asyncio.to_thread(flush)

async def watch():
    while True:
        begin = perf_counter()
        await asyncio.sleep(0.001)
        blocked[-1] = max(blocked[-1], perf_counter() - begin)

async def main():
    watcher = asyncio.create_task(watch())
    for _ in range(int(sys.argv[2])):
        blocked.append(0.0)
        tasks = [work() for _ in range(20)] + [deliver() for _ in range(4)]
        await asyncio.gather(*tasks)
    watcher.cancel()

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
assert flush()
counts = stats()
assert counts.collected == counts.accepted, counts
record(7)
print(json.dumps([recorded, blocked]))
"""


class Done(NamedTuple):
    """What a program recorded, and the longest wait of a task in each round."""

    recorded: int
    blocked: list[float]


def green(which: str, order: str, url: str, rounds: int = 1) -> Done:
    """Record in green threads, which replace threads at the moment *order*."""
    return _done(GREEN, which, order, rounds, url=url)


def loop(which: str, url: str, rounds: int = 1) -> Done:
    """Record in tasks of an event loop."""
    return _done(ASYNC, which, rounds, url=url)


def _done(source: str, *arguments: object, url: str) -> Done:
    # Importing eventlet warns that it is deprecated.
    warnings = {"PYTHONWARNINGS": "ignore"}
    out = expect(source, *arguments, DTMETRICS_ENDPOINT=url, **warnings)
    return Done(*json.loads(out))

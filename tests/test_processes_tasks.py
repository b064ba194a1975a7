"""Programs of many tasks in one thread: gevent, eventlet, asyncio, uvloop."""

from __future__ import annotations

import signal
import socket
from importlib.util import find_spec

import pytest

from tests.endpoint import Endpoint, Verdict, accept
from tests.script import expect, run

GREEN = """
import sys

which, order = sys.argv[1:]

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

orders, answers = counter("orders"), []

def load():
    for _ in range(200):
        orders.inc()
        sleep(0.0001)

def deliver():
    for _ in range(5):
        orders.inc()
        answers.append(flush(5.0))

joinall([spawn(load) for _ in range(20)] + [spawn(deliver) for _ in range(4)])
assert answers == [True] * 20, answers
assert flush()
told = stats()
assert told.collected == told.accepted, told
orders.inc(7)
"""


SIGNALLED = """
import os, signal, sys
if sys.argv[1] == "gevent":
    import gevent.monkey
    gevent.monkey.patch_all()
else:
    import eventlet
    eventlet.monkey_patch()
import threading, time
from dtmetrics import configure, counter, install_signal_handlers

configure()
install_signal_handlers()
counter("orders").inc(7)
threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
while True:
    time.sleep(0.01)
"""


def slowly(seconds: float) -> Verdict:
    """Take every line, after so many seconds."""
    at_once = accept()

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        endpoint.closing.wait(seconds)
        return at_once.act(connection, endpoint)

    return Verdict(act, taken=True)


@pytest.mark.parametrize("which", ["gevent", "eventlet"])
@pytest.mark.parametrize("order", ["patched first", "imported first", "configured first"])  # fmt: skip
def test_green_threads(which: str, order: str) -> None:
    """Whenever threads are replaced by green ones before the first record, all is well.

    Each flush waits for its turn and lets the others run: none is turned away, none
    stops the whole thread, and what is left is sent at the end.
    """
    if find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    with Endpoint(otherwise=slowly(0.03)) as endpoint:
        expect(
            GREEN,
            which,
            order,
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONWARNINGS="ignore",  # eventlet advises against itself
        )
    assert endpoint.total("orders") == 20 * 200 + 4 * 5 + 7


@pytest.mark.parametrize("which", ["gevent", "eventlet"])
def test_green_threads_and_a_signal(which: str) -> None:
    """SIGTERM waits for what a green thread sends, and then ends the process."""
    if find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    with Endpoint() as endpoint:
        ended = run(
            SIGNALLED, which, DTMETRICS_ENDPOINT=endpoint.url, PYTHONWARNINGS="ignore"
        )
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert endpoint.total("orders") == 7


ASYNC = """
import asyncio, sys, time
from dtmetrics import configure, counter, flush, stats, timed

configure(interval=0.02)
orders = counter("orders")

@timed
async def work():
    for _ in range(200):
        orders.inc()
        await asyncio.sleep(0.0001)

async def deliver():
    for _ in range(5):
        orders.inc()
        assert await asyncio.to_thread(flush)

async def main():
    await asyncio.gather(*[work() for _ in range(20)], *[deliver() for _ in range(4)])

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
assert flush()
told = stats()
assert told.collected == told.accepted, told
orders.inc(7)
"""


@pytest.mark.parametrize("which", ["asyncio", "uvloop"])
def test_event_loops(which: str) -> None:
    """Tasks of an event loop record while threads flush, and nothing is lost."""
    if find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    with Endpoint(otherwise=slowly(0.03)) as endpoint:
        expect(ASYNC, which, DTMETRICS_ENDPOINT=endpoint.url, PYTHONWARNINGS="ignore")
    assert endpoint.total("orders") == 20 * 200 + 4 * 5 + 7

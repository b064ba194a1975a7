"""Programs of many tasks in one thread: gevent, eventlet, asyncio, uvloop."""

from __future__ import annotations

import signal
import socket
from importlib.util import find_spec

import pytest

from tests.support.endpoint import Endpoint, Verdict, accept
from tests.support.script import run
from tests.support.task_programs import GREEN_KINDS, GREEN_ORDERS, LOOPS, green, loop

pytestmark = pytest.mark.processes

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


def accept_after(seconds: float) -> Verdict:
    """Accept every line, after so many seconds."""
    at_once = accept()

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        endpoint.closing.wait(seconds)
        return at_once.act(connection, endpoint)

    return Verdict(act, accepted=True)


@pytest.mark.parametrize("which", GREEN_KINDS)
@pytest.mark.parametrize("order", GREEN_ORDERS)
def test_green_threads(which: str, order: str) -> None:
    """Green threads may replace threads at any time before the first record.

    Each flush waits for the others and lets other tasks run, and what is left is sent
    at exit.
    """
    if find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    with Endpoint(otherwise=accept_after(0.03)) as endpoint:
        done = green(which, order, endpoint.url)
    assert endpoint.total("orders") == done.recorded == 20 * 200 + 4 * 5 + 7


@pytest.mark.parametrize("which", GREEN_KINDS)
def test_green_threads_and_a_signal(which: str) -> None:
    """SIGTERM is delayed until a green thread has sent what was recorded."""
    if find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    with Endpoint() as endpoint:
        ended = run(
            SIGNALLED, which, DTMETRICS_ENDPOINT=endpoint.url, PYTHONWARNINGS="ignore"
        )
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert endpoint.total("orders") == 7


@pytest.mark.parametrize("which", LOOPS)
def test_event_loops(which: str) -> None:
    """What tasks of an event loop record while threads flush arrives exactly."""
    if find_spec(which) is None:
        pytest.skip(f"{which} is not installed")
    with Endpoint(otherwise=accept_after(0.03)) as endpoint:
        done = loop(which, endpoint.url)
    assert endpoint.total("orders") == done.recorded == 20 * 200 + 4 * 5 + 7

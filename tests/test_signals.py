"""SIGTERM and SIGHUP, sent to real programs that post to a real endpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from dtmetrics._runtime.runtime import Process
from dtmetrics._runtime.signals import _PutOff
from tests.support.endpoint import PATIENCE, Endpoint, never, refusing_port
from tests.support.script import Ended

if sys.platform == "win32":
    pytest.skip("no signals between processes", allow_module_level=True)

BEGIN = """
import os, signal, sys, threading, time
import dtmetrics
from dtmetrics import configure, counter, flush, install_signal_handlers, observe

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored by all below nohup(1)
configure(interval=3_600.0)  # none by itself
counter("jobs.run").inc(3)

def ready():
    print("ready", flush=True)

def stay():
    ready()
    while True:
        signal.pause()
"""

# A deadline of 2 seconds, and what a machine that is busy may add to it.
IN_TIME = 2.5


def signalled(
    source: str,
    url: str,
    *signals: int,
    **environ: str,
) -> Ended:
    """Run *source*, send it *signals* once it is ready, and wait for its end."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DTMETRICS_ENDPOINT": url, **environ},
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            begin = time.monotonic()
            for signum in signals:
                program.send_signal(signum)
            out, err = program.communicate(timeout=PATIENCE)
        finally:
            program.kill()
    return Ended(program.returncode, out, err, time.monotonic() - begin)


def test_nothing_is_installed() -> None:
    """Who does not ask for it keeps the signals as they were, and loses an interval."""
    source = """
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    stay()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert endpoint.total("jobs.run") == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("interval", ["60", "None"])
def test_sends_what_is_left(signum: int, interval: str) -> None:
    """What was recorded arrives, and the process ends by the signal all the same."""
    source = f"""
    configure(interval={interval}, force=True)
    counter("jobs.run").inc(4)
    install_signal_handlers()
    install_signal_handlers()
    stay()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signum)
    assert ended[:3] == (-signum, "", "")
    assert endpoint.total("jobs.run") == 7
    assert ended.seconds < IN_TIME


OWN = {
    "ends by the signal": (
        "signal.signal(signum, signal.SIG_DFL); os.kill(os.getpid(), signum)",
        -signal.SIGTERM,
    ),
    "exits": ("sys.exit(4)", 4),
    "exits at once": ("os._exit(5)", 5),
    "ends later": ("counter('jobs.run').inc(); done.set()", 0),
}


@pytest.mark.parametrize(("does", "status"), OWN.values(), ids=OWN.keys())
def test_own_handler(does: str, status: int) -> None:
    """A handler of the program's own is called, once, after what was recorded is sent."""
    source = f"""
    done = threading.Event()

    def own(signum, frame):
        assert frame is not None
        print("own", signum, flush=True)
        {does}

    signal.signal(signal.SIGTERM, own)
    install_signal_handlers()
    install_signal_handlers()
    ready()
    assert done.wait(10)
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (status, "own 15\n", "")
    assert endpoint.total("jobs.run") == (4 if status == 0 else 3)
    assert ended.seconds < IN_TIME


CHAINED = """
install_signal_handlers()
earlier = signal.getsignal(signal.SIGTERM)

def own(signum, frame):
    print("own", flush=True)
    earlier(signum, frame)
    {then}

signal.signal(signal.SIGTERM, own)
ready()
while True:
    signal.pause()
"""


@pytest.mark.parametrize(
    ("then", "status"), [("", -signal.SIGTERM), ("sys.exit(4)", 4)], ids=["", "exits"]
)
def test_called_by_a_later_handler(then: str, status: int) -> None:
    """A handler that came later and calls the earlier one gets what it would get."""
    with Endpoint() as endpoint:
        ended = signalled(CHAINED.format(then=then), endpoint.url, signal.SIGTERM)
    assert ended[:3] == (status, "own\n", "")
    assert endpoint.total("jobs.run") == 3


IN_A_FLUSH = {
    "collecting": """
    @observe("pool.size")
    def size():
        if threading.current_thread() is threading.main_thread():
            counter("late").inc()
            ready()
            time.sleep(0.3)
        return 1
    """,
    "sending": """
    calls = []
    sending = dtmetrics._runtime.runtime.default._flusher._sender
    post = sending._exporter.export

    def export(*given):
        calls.append(threading.current_thread())
        if calls == [threading.main_thread()]:
            counter("late").inc()
            ready()
            time.sleep(0.3)
        return post(*given)

    sending._exporter.export = export
    """,
}


@pytest.mark.parametrize("where", IN_A_FLUSH)
def test_during_a_flush(where: str) -> None:
    """In the middle of a flush of the main thread's, that ends, and another follows."""
    source = f"""
    install_signal_handlers()
    {IN_A_FLUSH[where]}
    flush()
    while True:
        signal.pause()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert (endpoint.total("jobs.run"), endpoint.total("late")) == (3, 1)
    assert ended.seconds < IN_TIME


HELD = {
    "our locks": "with dtmetrics._runtime.runtime.default.registry._lock:",
    "threading's": "with threading._active_limbo_lock:",
    "logging's": "import logging\nwith logging._lock:",
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD.keys())
def test_with_a_lock_held(held: str) -> None:
    """Whatever lock the main thread holds when the signal comes, nothing hangs."""
    source = f"""
install_signal_handlers()
{held}
    ready()
    time.sleep(0.3)
while True:
    signal.pause()
"""
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert endpoint.total("jobs.run") == 3


@pytest.mark.parametrize("what", ["nobody", "hangs"])
@pytest.mark.parametrize("flushing", [False, True], ids=["idle", "in a flush"])
def test_endpoint_in_trouble(what: str, flushing: bool) -> None:
    """An endpoint that is down or hangs puts a signal off for 2 seconds at most."""
    source = """
    install_signal_handlers()
    ready()
    if %s:
        flush()
    while True:
        signal.pause()
    """
    with Endpoint(otherwise=never()) as endpoint:
        nobody = f"http://127.0.0.1:{refusing_port()}/x"
        url = endpoint.url if what == "hangs" else nobody
        ended = signalled(source % flushing, url, signal.SIGTERM)
    assert (ended.status, ended.out) == (-signal.SIGTERM, "")
    assert ended.seconds < IN_TIME
    assert len(ended.err.splitlines()) <= 2


def test_a_callback_hangs() -> None:
    """Nor does a callback that hangs keep the process longer."""
    source = """
    @observe("pool.size")
    def size():
        threading.Event().wait()

    install_signal_handlers(0.2)
    stay()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert ended.seconds < 1.5


def test_deadline_is_the_callers() -> None:
    """How long a signal is put off is said by who installs."""
    with Endpoint(otherwise=never()) as endpoint:
        source = "install_signal_handlers(timeout=0.2)\nstay()"
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended.status == -signal.SIGTERM
    assert ended.seconds < 1.5


def test_second_signal() -> None:
    """Who cannot wait sends the signal again: it has its effect at once."""
    with Endpoint(otherwise=never()) as endpoint:
        source = "install_signal_handlers(60.0)\nstay()"
        program = subprocess.Popen(
            [sys.executable, "-c", BEGIN + source],
            stdout=subprocess.PIPE,
            env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url},
        )
        assert program.stdout is not None
        with program.stdout:
            assert program.stdout.readline() == b"ready\n"
            program.send_signal(signal.SIGTERM)
            endpoint.wait_for(1)
            program.send_signal(signal.SIGTERM)
            assert program.wait(PATIENCE) == -signal.SIGTERM


LEFT_ALONE = {
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "own SIGHUP": "signal.signal(signal.SIGHUP, print)",
    "ignored SIGHUP": "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
}


@pytest.mark.parametrize("how", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_left_alone(how: str) -> None:
    """What is ignored stays so; a SIGHUP that the program handles ends nothing."""
    source = f"""
    {how}
    names = signal.SIGTERM, signal.SIGHUP
    before = [signal.getsignal(s) for s in names]
    install_signal_handlers()
    after = [signal.getsignal(s) for s in names]
    kept = [a is b for a, b in zip(before, after)]
    counter("kept").inc(kept.index(True) + 1)
    ready()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url)
    assert ended[:3] == (0, "", "")
    assert endpoint.total("kept") == (2 if "SIGHUP" in how else 1)


def test_event_loop_is_left_alone() -> None:
    """Asyncio hears of a signal whoever handles it: its callback is called once."""
    source = """
    import asyncio

    async def main():
        loop, done, heard = asyncio.get_running_loop(), asyncio.Event(), []
        loop.add_signal_handler(signal.SIGTERM, heard.append, 1)
        install_signal_handlers()
        ready()
        while not heard:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        print(len(heard))

    asyncio.run(main())
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (0, "1\n", "")
    assert endpoint.total("jobs.run") == 3


def test_main_thread_only(process: Process) -> None:
    """Another thread cannot install handlers, and is told so."""
    said: list[Any] = []

    def install() -> None:
        with pytest.raises(ValueError, match="only works in main thread"):
            process.install_signal_handlers()
        said.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=install)
    thread.start()
    thread.join(PATIENCE)
    assert said
    assert not isinstance(said[0], _PutOff)


@pytest.mark.parametrize("number", range(5))
def test_pool_that_is_terminated(number: int) -> None:
    """``with Pool()`` waits for the end of workers to which it sent one SIGTERM.

    They do not put it off: one that comes just before a worker waits for its next task
    would be heard only after that. What they have flushed themselves arrives.
    """
    source = """
    import multiprocessing

    def inc(amount):
        counter("jobs.run").inc(amount)
        flush()

    context = multiprocessing.get_context("fork")
    install_signal_handlers()
    with context.Pool(2) as pool:
        pool.map(inc, [1] * 20)
    ready()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, PYTHONWARNINGS="ignore")
    assert ended[:3] == (0, "", "")
    assert endpoint.total("jobs.run") == 23


def test_forked_child() -> None:
    """A child inherits the handler, and sends what is its own."""
    source = """
    install_signal_handlers()
    pid = os.fork()
    if not pid:
        counter("children").inc(5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    os.waitpid(pid, 0)
    ready()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, PYTHONWARNINGS="ignore")
    assert ended[:3] == (0, "", "")
    assert (endpoint.total("jobs.run"), endpoint.total("children")) == (3, 5)

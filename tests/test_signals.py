"""SIGTERM and SIGHUP, sent to real programs that post to a real endpoint."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from dtmetrics._runtime import signals
from dtmetrics._runtime.runtime import Runtime
from dtmetrics._runtime.signals import _DelayingHandler
from tests.support.endpoint import PATIENCE, Endpoint, never, refusing_port
from tests.support.script import Ended
from tests.support.signal_handler import handling

if sys.platform == "win32":
    pytest.skip("no signals between processes", allow_module_level=True)

BEGIN = """
import os, signal, sys, threading, time
import dtmetrics
from dtmetrics import configure, counter, flush, install_signal_handlers, observe

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) makes its children ignore it
configure(interval=3_600.0)  # longer than any test
counter("jobs.run").inc(3)

read_end, write_end = os.pipe()
os.set_blocking(write_end, False)
signal.set_wakeup_fd(write_end)

def handle_signals(done=threading.Event()):
    # Each signal writes a byte. signal.pause() and a lock would miss a signal that
    # arrives just before the wait: 1 of 10 programs on CPython 3.14 and 3.15.
    while not done.is_set():
        os.read(read_end, 1)

def ready():
    print("ready", flush=True)

def ready_and_wait():
    # Until SIGTERM has been handled: our handler first restores the earlier one.
    ready()
    while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        time.sleep(0.001)

def stay():
    ready()
    handle_signals()
"""

# The default timeout of 2 s, the grace of 0.25 s, and what a busy machine may add.
IN_TIME = 2.25 + 4.0


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


def test_not_installed() -> None:
    """Without install_signal_handlers() a SIGTERM ends the process at once."""
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
    """What was recorded is sent, and then the signal ends the process."""
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


PROGRAM_HANDLERS = {
    "ends by the signal": (
        "signal.signal(signum, signal.SIG_DFL); os.kill(os.getpid(), signum)",
        -signal.SIGTERM,
    ),
    "exits": ("sys.exit(4)", 4),
    "exits at once": ("os._exit(5)", 5),
    "ends later": ("counter('jobs.run').inc(); done.set()", 0),
}


@pytest.mark.parametrize(
    ("action", "status"), PROGRAM_HANDLERS.values(), ids=PROGRAM_HANDLERS.keys()
)
def test_handler_of_the_program(action: str, status: int) -> None:
    """The program's handler is called once, after what was recorded is sent."""
    source = f"""
    done = threading.Event()

    def handle(signum, frame):
        assert frame is not None
        print("handled", signum, flush=True)
        {action}

    signal.signal(signal.SIGTERM, handle)
    install_signal_handlers()
    install_signal_handlers()
    ready()
    handle_signals(done)
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (status, "handled 15\n", "")
    assert endpoint.total("jobs.run") == (4 if status == 0 else 3)
    assert ended.seconds < IN_TIME


CHAINED = """
install_signal_handlers()
earlier = signal.getsignal(signal.SIGTERM)

def handle(signum, frame):
    print("handled", flush=True)
    earlier(signum, frame)
    {then}

signal.signal(signal.SIGTERM, handle)
ready()
handle_signals()
"""


@pytest.mark.parametrize(
    ("then", "status"), [("", -signal.SIGTERM), ("sys.exit(4)", 4)], ids=["", "exits"]
)
def test_called_by_a_later_handler(then: str, status: int) -> None:
    """A handler installed later that calls ours sees the usual effect of the signal."""
    with Endpoint() as endpoint:
        ended = signalled(CHAINED.format(then=then), endpoint.url, signal.SIGTERM)
    assert ended[:3] == (status, "handled\n", "")
    assert endpoint.total("jobs.run") == 3


IN_A_FLUSH = {
    "collecting": """
    @observe("pool.size")
    def size():
        if threading.current_thread() is threading.main_thread():
            counter("late").inc()
            ready_and_wait()
        return 1
    """,
    "sending": """
    calls = []
    sending = dtmetrics._runtime.runtime.default._delivery.destinations[0].sender
    post = sending._exporter.export

    def export(*args):
        calls.append(threading.current_thread())
        if calls == [threading.main_thread()]:
            counter("late").inc()
            ready_and_wait()
        return post(*args)

    sending._exporter.export = export
    """,
}


@pytest.mark.parametrize("where", IN_A_FLUSH)
def test_during_a_flush(where: str) -> None:
    """If it interrupts a flush of the main thread, that flush ends and another follows."""
    source = f"""
    install_signal_handlers()
    {IN_A_FLUSH[where]}
    flush()
    handle_signals()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert (endpoint.total("jobs.run"), endpoint.total("late")) == (3, 1)
    assert ended.seconds < IN_TIME


HELD = {
    "dtmetrics": "with dtmetrics._runtime.runtime.default.registry.lock:",
    "threading": "with threading._active_limbo_lock:",
    "logging": "import logging\nwith logging._lock:",
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD.keys())
def test_with_a_lock_held(held: str) -> None:
    """The handler does not deadlock, whichever lock the main thread holds."""
    source = f"""
install_signal_handlers()
{held}
    ready_and_wait()
handle_signals()
"""
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert endpoint.total("jobs.run") == 3


@pytest.mark.processes
@pytest.mark.parametrize("what", ["is down", "hangs"])
@pytest.mark.parametrize("flushing", [False, True], ids=["idle", "in a flush"])
def test_failing_endpoint(what: str, flushing: bool) -> None:
    """An endpoint that is down or hangs delays a signal by its timeout at most."""
    source = """
    install_signal_handlers()
    ready()
    if %s:
        flush()
    handle_signals()
    """
    with Endpoint(otherwise=never()) as endpoint:
        down = f"http://127.0.0.1:{refusing_port()}/x"
        url = endpoint.url if what == "hangs" else down
        ended = signalled(source % flushing, url, signal.SIGTERM)
    assert (ended.status, ended.out) == (-signal.SIGTERM, "")
    assert ended.seconds < IN_TIME
    assert len(ended.err.splitlines()) <= 2


def test_hanging_callback() -> None:
    """A callback that hangs delays the end by the timeout at most."""
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
    assert ended.seconds < 0.2 + 4.0


def test_second_signal() -> None:
    """A second signal takes effect at once."""
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
    "handled SIGHUP": "signal.signal(signal.SIGHUP, print)",
    "ignored SIGHUP": "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
}


@pytest.mark.parametrize("how", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_left_alone(how: str) -> None:
    """An ignored signal, and a SIGHUP that the program handles, are left alone."""
    source = f"""
    {how}
    names = signal.SIGTERM, signal.SIGHUP
    before = [signal.getsignal(s) for s in names]
    install_signal_handlers()
    after = [signal.getsignal(s) for s in names]
    unchanged = [a is b for a, b in zip(before, after)]
    counter("unchanged").inc(unchanged.index(True) + 1)
    ready()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url)
    assert ended[:3] == (0, "", "")
    assert endpoint.total("unchanged") == (2 if "SIGHUP" in how else 1)


def test_event_loop() -> None:
    """A signal callback of asyncio is called once."""
    source = """
    import asyncio

    async def main():
        loop, done, calls = asyncio.get_running_loop(), asyncio.Event(), []
        loop.add_signal_handler(signal.SIGTERM, calls.append, 1)
        install_signal_handlers()
        ready()
        while not calls:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        print(len(calls))

    asyncio.run(main())
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (0, "1\n", "")
    assert endpoint.total("jobs.run") == 3


def test_main_thread_only(runtime: Runtime) -> None:
    """In another thread install_signal_handlers() raises and installs nothing."""
    handlers: list[Any] = []

    def install() -> None:
        with pytest.raises(ValueError, match="only works in main thread"):
            runtime.install_signal_handlers()
        handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=install)
    thread.start()
    thread.join(PATIENCE)
    assert handlers
    assert not isinstance(handlers[0], _DelayingHandler)


def test_no_thread_for_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system has no thread left, the handler itself does the work."""
    calls: list[object] = []

    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    def work(timeout: float) -> None:
        calls.append((timeout, threading.get_ident()))

    def earlier(signum: int, _: object) -> None:
        calls.append(signum)

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    before = signal.signal(signal.SIGUSR1, _DelayingHandler(earlier, work, 2.0))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls == [(2.0, threading.get_ident()), signal.SIGUSR1]


@pytest.mark.parametrize("starts", [True, False])
def test_thread_of_the_handler(
    monkeypatch: pytest.MonkeyPatch, *, starts: bool
) -> None:
    """The work is done in one more thread, or without one, and the signal is raised again.

    Called directly, because coverage sees no thread that ``_thread`` starts.
    """
    calls: list[object] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def work(timeout: float) -> None:
        calls.append((timeout, threading.current_thread() is threading.main_thread()))

    if not starts:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    with handling(signal.SIGUSR1, lambda: calls.append("raised")):
        _DelayingHandler(None, work, 2.0)._work_and_raise(signal.SIGUSR1)
    assert calls == [(2.0, not starts), "raised"]


def test_a_server_that_raises_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uvicorn raises the signal as its last act, the handler does the work itself."""
    calls: list[object] = []

    def refuse(*_: object) -> int:
        raise AssertionError

    def earlier(signum: int, _: object) -> None:
        calls.append(signum)

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.run)
    monkeypatch.setattr(threading.Thread, "join", lambda *_: None)
    handler = _DelayingHandler(earlier, lambda _: calls.append("work"), 2.0)
    before = signal.signal(signal.SIGUSR1, handler)
    server = {"__name__": "uvicorn.server", "signal": signal}
    try:
        exec("signal.raise_signal(signal.SIGUSR1)", server)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls == ["work", signal.SIGUSR1]


@pytest.mark.parametrize("where", ["before", "inside"])
def test_uvicorn(where: str) -> None:
    """Under uvicorn the process ends by the signal, after what was recorded is sent."""
    pytest.importorskip("uvicorn")
    source = f"""
    import uvicorn

    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"
        await receive()
        {where == "inside" and "install_signal_handlers()"}
        await send({{"type": "lifespan.startup.complete"}})
        ready()
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})

    {where == "before" and "install_signal_handlers()"}
    signal.set_wakeup_fd(-1)  # the event loop sets its own
    uvicorn.run(app, port=0, log_level="critical")
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, signal.SIGTERM)
    assert ended[:3] == (-signal.SIGTERM, "", "")
    assert endpoint.total("jobs.run") == 3
    assert ended.seconds < IN_TIME


def test_signal_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the main thread has ended no signal is raised: the process has a status."""
    monkeypatch.setattr(signals, "main_thread", threading.Thread)  # not alive
    raised: list[bool] = []
    with handling(signal.SIGUSR1, lambda: raised.append(True)):
        signals._raise_again(signal.SIGUSR1)
    assert raised == []


@pytest.mark.parametrize("number", range(5))
def test_terminated_pool(number: int) -> None:
    """Workers of a pool do not delay SIGTERM, so that the end of the pool never hangs.

    ``with Pool()`` sends each worker one SIGTERM and waits. A delayed one that arrives
    just before a worker waits for its next task would be handled only after that task.
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


def test_child_of_multiprocessing() -> None:
    """A child that multiprocessing forks has the handlers from before."""
    source = """
    import multiprocessing

    def look():
        assert signal.getsignal(signal.SIGTERM) is handle
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    def handle(*_):
        pass

    signal.signal(signal.SIGTERM, handle)
    install_signal_handlers()
    child = multiprocessing.get_context("fork").Process(target=look)
    child.start()
    child.join()
    counter("status").inc(1 + child.exitcode)
    ready()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, PYTHONWARNINGS="ignore")
    assert ended[:3] == (0, "", "")
    assert endpoint.total("status") == 1


def test_forked_child() -> None:
    """A forked child inherits the handlers, and sends what it recorded."""
    source = """
    install_signal_handlers()
    pid = os.fork()
    if not pid:
        counter("children").inc(5)
        os.kill(os.getpid(), signal.SIGTERM)
        handle_signals()
    os.waitpid(pid, 0)
    ready()
    """
    with Endpoint() as endpoint:
        ended = signalled(source, endpoint.url, PYTHONWARNINGS="ignore")
    assert ended[:3] == (0, "", "")
    assert (endpoint.total("jobs.run"), endpoint.total("children")) == (3, 5)

"""A real web server under load, and the count of the responses that clients got."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.support.endpoint import PATIENCE

# Both kinds of application in one file. Each response names the process that served it,
# and how many flushers that process has.
APP = """
import os, threading
from dtmetrics import configure, counter, shutdown

configure(interval=0.1)
served = counter("requests.served")
{more}

def process():
    threads = [thread.name for thread in threading.enumerate()]
    return f"{{os.getpid()}} {{threads.count('dtmetrics-flusher')}}"

def wsgi(environ, start_response):
    served.inc()
    start_response("200 OK", [("X-Process", process())])
    return [b""]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({{"type": "lifespan.startup.complete"}})
        shutdown()  # uvicorn ends by the signal itself: no exit handler runs
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    served.inc()
    headers = [(b"X-Process", process().encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body"}})
"""

_REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
_SERVED = re.compile(
    rb"HTTP/1.1 200 .*^x-process: *(\d+) (\d+)",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)

#: gunicorn's workers: their class, the application, and the package that they need.
WORKERS = {
    "sync": ("sync", "app:wsgi", "gunicorn"),
    "gthread": ("gthread", "app:wsgi", "gunicorn"),
    "gevent": ("gevent", "app:wsgi", "gevent"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "app:asgi", "uvicorn_worker"),
}
GUNICORN_FLAGS = ["", "--preload", "--max-requests=50", "--preload --max-requests=50"]

UWSGI = Path(sys.executable).with_name("uwsgi")
UWSGI_FLAGS = {
    "plain": "",
    "threads enabled": "--enable-threads",
    "fork hooks": "--py-call-uwsgi-fork-hooks",
    "both": "--enable-threads --py-call-uwsgi-fork-hooks",
    "threads": "--threads=2",
    "lazy": "--enable-threads --lazy-apps",
    "no teardown": "--enable-threads --skip-atexit-teardown",
}

# Added to uWSGI's application: the master records, but must start no thread before it
# has forked.
IN_THE_MASTER = """
counter("parents").inc()
import uwsgi
assert uwsgi.worker_id() or threading.active_count() == 1
"""

# With --die-on-term a busy worker would end without any hook.
_GRACEFUL = "--hook-master-start=unix_signal:15 gracefully_kill_them_all"


def gunicorn(kind: str, flags: str, workers: int = 2) -> list[str]:
    """Return the command that starts gunicorn with *workers* of a *kind*."""
    worker, app, _ = WORKERS[kind]
    command = [sys.executable, "-m", "gunicorn", f"--workers={workers}", app]
    command += [f"--worker-class={worker}", "--bind=unix:http", "--graceful-timeout=3"]
    return [*command, "--no-control-socket", *flags.split()]


def uwsgi(flags: str, workers: int = 2) -> list[str]:
    """Return the command that starts uWSGI with *workers*."""
    command = [str(UWSGI), "--master", f"--processes={workers}", "--http-socket=http"]
    command += ["--wsgi=app:wsgi", "--need-app", "--disable-logging", _GRACEFUL]
    return [*command, *flags.split()]


class Server:
    """Runs *command* in the directory *place*, with ``app.py`` and a socket.

    It has *workers*, and posts to *url*. Inside the block clients send requests without
    a pause; ``answers`` are the process ids in all responses. At its end the server is
    terminated.
    """

    def __init__(
        self,
        command: Sequence[str],
        place: Path,
        url: str,
        *,
        workers: int = 2,
        more: str = "",
    ) -> None:
        (place / "app.py").write_text(APP.format(more=more))
        self._workers = workers
        self._place = place
        self._command = command
        self._environ = {
            **os.environ,
            "DTMETRICS_ENDPOINT": url,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONWARNINGS": "ignore",
        }
        self.answers: list[int] = []
        #: The most flushers that a process had.
        self.flushers = 0
        self.output = ""
        self._stop = threading.Event()
        clients = range(2 * workers)
        self._clients = [threading.Thread(target=self._ask) for _ in clients]

    def __enter__(self) -> Server:
        self._log = (self._place / "log").open("w+")
        # A new session: its number ends all processes that are left of it.
        self.process = subprocess.Popen(
            self._command,
            cwd=self._place,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environ,
            start_new_session=True,
        )
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        try:
            for client in self._clients:
                client.join(PATIENCE)
            self.process.terminate()
            self.process.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            with self._log:
                self._log.seek(0)
                self.output = self._log.read()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, len(self.answers)
            assert self.process.poll() is None
            self._stop.wait(0.01)

    def live(self, rounds: int) -> None:
        """Serve, and have all workers replaced *rounds* times meanwhile.

        They are replaced because of a signal, or after so many requests.
        """
        by_count = any(flag.startswith("--max-requests") for flag in self._command)
        for _ in range(rounds):
            self._serve()
            self._replace(None if by_count else signal.SIGHUP)
        self._serve()

    def _serve(self, count: int = 50) -> None:
        """Wait until *count* more requests have been answered, some by each worker."""
        begin = len(self.answers)
        self.wait_for(
            lambda: (
                len(self.answers) >= begin + count
                # A worker that has not begun to serve may miss a signal.
                and len(set(self.answers[begin:])) >= self._workers
            )
        )

    def _replace(self, signum: int | None) -> None:
        """Wait until only new workers serve, after *signum* if there is one."""
        old, begin = set(self.answers), len(self.answers)
        if signum is not None:
            self.process.send_signal(signum)
        self.wait_for(
            lambda: (
                len(set(self.answers[begin:]) - old) >= self._workers
                and old.isdisjoint(self.answers[-50:])
            )
        )

    def _ask(self) -> None:
        while not self._stop.is_set():
            # Connections are refused before the server is up, and while workers change.
            with suppress(OSError):
                served = _SERVED.match(_exchange(str(self._place / "http")))
                if served is not None:
                    self.answers.append(int(served[1]))
                    self.flushers = max(self.flushers, int(served[2]))


def _exchange(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        connection.sendall(_REQUEST)
        answer = b""
        while part := connection.recv(4096):
            answer += part
        return answer

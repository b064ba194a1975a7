"""A real server of web requests, under load, and the truth of what it served."""

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

from tests.endpoint import PATIENCE

# Both kinds of application in one file. Each answer says which process served it.
APP = """
import os
from dtmetrics import configure, counter, shutdown

configure(interval=0.1)
served = counter("requests.served")
{more}

def wsgi(environ, start_response):
    served.inc()
    start_response("200 OK", [("X-Process", str(os.getpid()))])
    return [b""]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({{"type": "lifespan.startup.complete"}})
        shutdown()  # uvicorn ends by the signal itself, and nothing runs after that
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    served.inc()
    headers = [(b"X-Process", str(os.getpid()).encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body"}})
"""

_REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
_SERVED = re.compile(
    rb"HTTP/1.1 200 .*^x-process: *(\d+)", re.IGNORECASE | re.DOTALL | re.MULTILINE
)


class Server:
    """Runs *command*, two workers, in *place*, where ``app.py`` and the socket ``http`` are.

    It posts to *url*. Inside the block clients ask without a pause, and ``answers``
    are the process ids of all answers that they got; at its end it is terminated.
    """

    def __init__(
        self, command: Sequence[str], place: Path, url: str, *, more: str = ""
    ) -> None:
        (place / "app.py").write_text(APP.format(more=more))
        self._place = place
        self._command = command
        self._environ = {
            **os.environ,
            "DTMETRICS_ENDPOINT": url,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONWARNINGS": "ignore",
        }
        self.answers: list[int] = []
        self.said = ""
        self._enough = threading.Event()
        self._clients = [threading.Thread(target=self._ask) for _ in range(4)]

    def __enter__(self) -> Server:
        self._log = (self._place / "log").open("w+")
        # A session of its own: whatever is left of it can be ended by its number.
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
        self._enough.set()
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
                self.said = self._log.read()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds of what was answered."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, len(self.answers)
            assert self.process.poll() is None
            self._enough.wait(0.01)

    def serve(self, count: int = 50) -> None:
        """Wait until so many more requests have been answered, and by both workers."""
        goal = len(self.answers) + count
        self.wait_for(lambda: self._both() and len(self.answers) >= goal)

    def replace(self, signum: int | None = None) -> None:
        """Wait until both workers that answered so far are replaced by two others.

        That is because of a signal, or sooner or later by itself.
        """
        old = set(self.answers)
        if signum is not None:
            self.process.send_signal(signum)
        self.wait_for(lambda: self._both() and old.isdisjoint(self.answers[-50:]))

    def _both(self) -> bool:
        """Whether two workers serve: one that has not begun to may miss a signal."""
        return len(set(self.answers[-50:])) > 1

    def _ask(self) -> None:
        while not self._enough.is_set():
            # Refused before the server is up, and while it is being replaced.
            with suppress(OSError):
                served = _SERVED.match(_exchange(str(self._place / "http")))
                if served is not None:
                    self.answers.append(int(served[1]))


def _exchange(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        connection.sendall(_REQUEST)
        answer = b""
        while part := connection.recv(4096):
            answer += part
        return answer

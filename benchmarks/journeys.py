"""The number of files and functions that one operation passes through.

``python -m benchmarks.journeys [NAME] [--list]`` runs each journey in a process of its
own, and prints a row for it: files, functions, and crossings. A crossing is a call of a
function of the package in another file than that of the call before. ``--list`` prints
the calls in order.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import dtmetrics

PACKAGE = str(Path(dtmetrics.__file__).parent)


class Trip:
    """The calls of the package's functions, in every thread."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call of a function of the package, lambdas and comprehensions too."""
        code = frame.f_code
        if event == "call" and code.co_filename.startswith((PACKAGE, "<dtmetrics")):
            # Code that is compiled at run time belongs to the file that compiles it.
            name = code.co_filename.removeprefix(PACKAGE + "/")
            if name.startswith("<"):
                name = "_decorate/codegen.py"
            if code.co_name != "<module>":
                self.calls.append((name, code.co_qualname if _QUALNAMES else ""))

    @contextmanager
    def recorded(self, *, threads: bool = False) -> Iterator[None]:
        """Note the calls inside the block; with *threads* in new threads as well."""
        if threads:
            threading.setprofile(self.note)
        sys.setprofile(self.note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def figures(self) -> tuple[int, int, int]:
        """Return how many files, functions and crossings there were."""
        names = [name for name, _ in self.calls]
        crossings = sum(before != after for before, after in pairwise(names))
        return len(set(names)), len(set(self.calls)), crossings


_QUALNAMES = sys.version_info >= (3, 11)


class _Endpoint(BaseHTTPRequestHandler):
    """An endpoint that accepts every line."""

    def do_POST(self) -> None:
        """Answer as Dynatrace does when it accepts one line."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.end_headers()
        self.wfile.write(b'{"linesOk":1,"linesInvalid":0}')

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def _configured(**settings: Any) -> None:
    defaults: dict[str, Any] = {"interval": 3600.0, "enrich": False}
    if not {"endpoint", "exporter"} & settings.keys():
        defaults["exporter"] = dtmetrics.MemoryExporter()
    dtmetrics.configure(**defaults, **settings)


def inc_first(trip: Trip) -> None:
    """Record counter.inc(region=...), first."""
    _configured()
    orders = dtmetrics.counter("a.b")
    with trip.recorded():
        orders.inc(region="eu")


def inc_warm(trip: Trip) -> None:
    """Record counter.inc(region=...), warm."""
    _configured()
    orders = dtmetrics.counter("a.b")
    orders.inc(region="eu")
    with trip.recorded():
        orders.inc(region="eu")


def _coroutine() -> Any:
    async def work() -> None:
        """Do nothing."""

    return work


def _run(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return


def timed_decorate(trip: Trip) -> None:
    """Record @timed on a coroutine: decorate."""
    _configured()
    work = _coroutine()
    with trip.recorded():
        dtmetrics.timed("a.b")(work)


def timed_first(trip: Trip) -> None:
    """Record @timed on a coroutine: first call."""
    _configured()
    work = dtmetrics.timed("a.b")(_coroutine())
    with trip.recorded():
        _run(work())


def timed_warm(trip: Trip) -> None:
    """Record @timed on a coroutine: warm call."""
    _configured()
    work = dtmetrics.timed("a.b")(_coroutine())
    _run(work())
    with trip.recorded():
        _run(work())


def flush_http(trip: Trip) -> None:
    """Record flush() over HTTP."""
    with HTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        _configured(endpoint=f"http://127.0.0.1:{port}/metrics/ingest")
        dtmetrics.counter("a.b").inc()
        with trip.recorded(threads=True):
            assert dtmetrics.flush()
        server.shutdown()


def flush_memory(trip: Trip) -> None:
    """Record flush() to a MemoryExporter."""
    _configured()
    dtmetrics.counter("a.b").inc()
    with trip.recorded():
        dtmetrics.flush()


def _asgi(trip: Trip, requests: int) -> None:
    try:
        from dtmetrics.integrations.asgi import MetricsMiddleware
    except ImportError:
        from dtmetrics.asgi import (  # type: ignore[no-redef,import-not-found,unused-ignore]
            MetricsMiddleware,
        )

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Ignore the response."""

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [],
        "query_string": b"",
    }
    _configured()
    middleware: Any = MetricsMiddleware(application)
    for _ in range(requests - 1):
        _run(middleware(dict(scope), receive, send))
    with trip.recorded():
        _run(middleware(dict(scope), receive, send))


def asgi_first(trip: Trip) -> None:
    """Record one ASGI request: first."""
    _asgi(trip, 1)


def asgi_warm(trip: Trip) -> None:
    """Record one ASGI request: warm."""
    _asgi(trip, 3)


JOURNEYS: list[Callable[[Trip], None]] = [
    inc_first,
    inc_warm,
    timed_decorate,
    timed_first,
    timed_warm,
    flush_http,
    flush_memory,
    asgi_first,
    asgi_warm,
]


def main(arguments: list[str]) -> None:
    """Print a row for each journey, or for the named one."""
    lists = "--list" in arguments
    names = [each for each in arguments if not each.startswith("-")]
    if names:
        known = {journey.__name__: journey for journey in JOURNEYS}
        if names[0] not in known:
            raise SystemExit(f"NAME must be one of {', '.join(known)}, got {names[0]}")
        journey, trip = known[names[0]], Trip()
        journey(trip)
        title = str(journey.__doc__).removeprefix("Record ").rstrip(".")
        print(f"{title:38} {'{:6}{:11}{:11}'.format(*trip.figures())}")
        if lists:
            print(*(f"  {file}: {name}" for file, name in trip.calls), sep="\n")
        return
    print(f"{'journey':38}  files  functions  crossings")
    for journey in JOURNEYS:
        # In a process of its own: caches that one journey fills would shorten the next.
        command = [sys.executable, "-m", "benchmarks.journeys", journey.__name__]
        subprocess.run([*command, *["--list"][:lists]], check=True)  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1:])

"""A web server in a process, requests to it, and what arrives at an endpoint."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.protocol_grammar import read

DURATION = "http.server.request.duration"
ACTIVE = "http.server.active_requests"
ROOT = Path(__file__).parents[2]
_ADDRESS = re.compile(r"(?:Listening at:|running on) (http://[\d.]+:\d+)")


class Ask(NamedTuple):
    """One request, and the dimensions that are expected of it."""

    method: str
    path: str
    route: str | None
    status: str
    error: str | None = None


def asks(number: str) -> list[Ask]:
    """Return the requests to every application; *number* is its form of a parameter."""
    item = f"/items/{number}"
    return [
        *[Ask("GET", f"/items/{n}", item, "200") for n in range(10)],
        Ask("HEAD", "/items/7", item, "200"),
        Ask("GET", "/missing/7.php", None, "404"),
        Ask("GET", "/raises", "/raises", "500", "KeyError"),
        Ask("GET", "/unavailable", "/unavailable", "503", "503"),
        Ask("GET", "/same", "/same", "304"),
        Ask("GET", "/stream", "/stream", "200"),
        Ask("GET", "/fails", "/fails", "200", "ValueError"),
        Ask("GET", "/endless", "/endless", "200"),
    ]


@contextmanager
def serving(
    command: Sequence[str], endpoint: Endpoint, place: Path = ROOT
) -> Iterator[str]:
    """Run a server by *command* in the directory *place*; yield its address.

    At the end it is stopped as a supervisor does.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=place,
        env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    output: list[str] = []
    found = None
    for line in process.stderr:
        output.append(line)
        if found := _ADDRESS.search(line):
            break
    # Its messages about errors must not fill the pipe.
    rest = threading.Thread(target=output.extend, args=(process.stderr,))
    rest.start()
    try:
        assert found, "".join(output)
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            rest.join()
            process.stderr.close()


def load(address: str, plan: Sequence[Ask], clients: int = 4) -> None:
    """Send all requests of *plan*, in a fixed random order, by several clients at once."""
    shuffled = random.Random(7).sample(plan, len(plan))

    def ask_all(part: Sequence[Ask]) -> None:
        with httpx.Client(
            base_url=address, trust_env=False, timeout=PATIENCE
        ) as client:
            for ask in part:
                _ask(client, ask)

    threads = [
        threading.Thread(target=ask_all, args=(shuffled[start::clients],))
        for start in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask(client: httpx.Client, ask: Ask) -> None:
    # After an exception servers close the connection, on which the next request may
    # already be under way.
    last = {"Connection": "close"} if ask.error else {}
    with client.stream(ask.method, ask.path, headers=last) as response:
        assert str(response.status_code) == ask.status, ask
        if ask.path == "/endless":
            next(response.iter_raw())  # and leave
        elif ask.path == "/fails":
            with suppress(httpx.RemoteProtocolError):  # it is cut off
                response.read()
        else:
            response.read()


Counts = Counter[tuple[str | None, str | None, str | None]]


def expected(plan: Sequence[Ask]) -> Counts:
    """Return the number of requests by route, status and error."""
    return Counter((ask.route, ask.status, ask.error) for ask in plan)


def counts(endpoint: Endpoint) -> Counts:
    """Return the number of durations that arrived, by route, status and error."""
    found: Counts = Counter()
    for line in endpoint.lines:
        if line.startswith(DURATION):
            read_line = read(line)
            get = read_line.dimensions.get
            key = get("http.route"), get("http.response.status_code"), get("error.type")
            found[key] += int(re.findall(r"count=(\d+)", line)[0])
    return found


def active(endpoint: Endpoint) -> dict[tuple[str, str], str]:
    """Return the last number of active requests by worker and method."""
    found = {}
    for line in endpoint.lines:
        if line.startswith(ACTIVE):
            pairs = read(line).dimensions
            worker = pairs.get("dtmetrics.worker", ""), pairs["http.request.method"]
            found[worker] = str(int(read(line).numbers["sum"]))
    return found

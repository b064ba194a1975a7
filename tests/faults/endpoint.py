"""The scripted endpoint: a process on loopback that keeps count of what it accepts.

Commands arrive as lines of JSON on standard input; each is answered by one line on
standard output. The process ends with its input. A script is a list of steps, each
``{"action": name, **options}``. A step applies to ``"times"`` requests, for
``"seconds"`` of the application's clock, or without end. A step with ``"chance"``
applies to that fraction of its requests, and the others are accepted. The action
``"random"`` picks one of the steps in ``"of"`` for each request.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import select
import socket
import sys
import threading
import zlib
from collections import Counter
from contextlib import suppress
from typing import Any

from tests.faults.accelerated_clock import Clock, Origin
from tests.faults.actions import ACTIONS, Options, before_reading
from tests.faults.lines import Ingested, is_data

ACCEPT: Options = {"action": "accept"}
_JOURNAL_LIMIT = 100_000
_HEAD_LIMIT = 1 << 20


class Endpoint:
    """The listening socket, the script that it follows, and what it has received."""

    def __init__(self, origin: Origin, seed: int) -> None:
        self.clock = Clock(origin)
        self.lock = threading.Lock()
        self.ingested = Ingested()
        self.journal: list[dict[str, Any]] = []
        self.requests = self.connections = 0
        self.headers: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._steps: list[dict[str, Any]] = []
        #: When the current step began.
        self._since = 0.0
        self._open: set[socket.socket] = set()
        # Not a port for outgoing connections: a program that tries such a port often
        # enough while it is closed connects to itself.
        self._listener = _bind(range(20_000, 32_000), self._random)
        self.port = self._listener.getsockname()[1]
        self.up()

    # -- commands ------------------------------------------------------------------

    def up(self) -> None:
        """Listen."""
        self._listener.listen(512)
        threading.Thread(
            target=self._listen, args=(self._listener,), daemon=True
        ).start()

    def down(self) -> None:
        """Refuse connections, and end the open ones; the port stays bound."""
        # shutdown() wakes a thread that waits in accept(), close() alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = _bind([self.port], self._random)
        with self.lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def script(self, steps: list[dict[str, Any]]) -> None:
        """Follow these *steps* from now on."""
        with self.lock:
            self._steps, self._since = list(steps), self.clock.monotonic()

    def received(self) -> dict[str, Any]:
        """Return everything that was received, as JSON can hold it."""
        with self.lock:
            return {
                "requests": self.requests,
                "connections": self.connections,
                "headers": self.headers,
                "tokens": self.tokens,
                "journal": self.journal,
                **self.ingested.report(),
            }

    # -- requests ------------------------------------------------------------------

    def step(self) -> dict[str, Any] | Options:
        """Return the step that applies now, and count this request for it."""
        with self.lock:
            while self._steps:
                step, now = self._steps[0], self.clock.monotonic()
                end = self._since + step.get("seconds", math.inf)
                if now >= end or step.get("times") == 0:
                    del self._steps[0]
                    self._since = min(now, end)
                    continue
                if "times" in step:
                    step["times"] -= 1
                if self._random.random() >= step.get("chance", 1):
                    return ACCEPT
                return (
                    self._random.choice(step["of"])
                    if step["action"] == "random"
                    else step
                )
            return ACCEPT

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            threading.Thread(
                target=self._serve, args=(connection, number), daemon=True
            ).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            while Exchange(self, connection, number).run():
                pass
        except OSError:
            pass  # a client may close its connection at any moment
        finally:
            with self.lock:
                self._open.discard(connection)
            connection.close()


class Exchange:
    """One request, and the action that answers it."""

    def __init__(
        self, endpoint: Endpoint, connection: socket.socket, number: int
    ) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self.number = number
        self.body = b""
        self.encoding = ""
        self.token = ""
        self._entry: dict[str, Any] = {"connection": number, "lines": 0, "repeated": 0}

    def run(self) -> bool:
        """Perform the current step on a request; return whether to keep the connection."""
        # The first byte makes a request: only then the step counts it.
        if not self.connection.recv(1, socket.MSG_PEEK):
            return False
        step = self.endpoint.step()
        entry, clock = self._entry, self.endpoint.clock
        entry["at"] = begin = clock.monotonic()
        entry["action"] = str(step.get("status", step["action"]))
        if not before_reading(step) and not self._read():
            return False
        with self.endpoint.lock:
            self.endpoint.requests += 1
            if len(self.endpoint.journal) < _JOURNAL_LIMIT:
                self.endpoint.journal.append(entry)
        try:
            return ACTIONS[step["action"]](self, step)
        finally:
            entry["held"] = clock.monotonic() - begin

    def ingest(self, text: str) -> None:
        """Count the lines of *text* as accepted."""
        ingested, entry = self.endpoint.ingested, self._entry
        if not text:
            return
        with self.endpoint.lock:
            before = sum(lines for lines, _ in ingested.repeated.values())
            ingested.ingest(text, self.endpoint.clock.time())
            after = sum(lines for lines, _ in ingested.repeated.values())
        entry["lines"] = sum(map(is_data, text.split("\n")))
        entry["repeated"] = after - before
        entry["stamp"] = max(map(_timestamp, text.split("\n")))

    def note(self, action: str) -> None:
        """Write into the journal how the request was answered."""
        self._entry["action"] = action

    def linger(self, seconds: float) -> bool:
        """Wait without reading; return whether the client is still connected."""
        watch = select.poll()
        # Unread data does not end the wait, the client's close does.
        watch.register(self.connection, select.POLLRDHUP)
        return not watch.poll(seconds * 1000)

    def now(self) -> float:
        """Return the time of the application's clock."""
        return self.endpoint.clock.time()

    def _read(self) -> bool:
        stream = b""
        while b"\r\n\r\n" not in stream:
            part = self.connection.recv(65536)
            if not part or len(stream) > _HEAD_LIMIT:
                return False
            stream += part
        head, _, rest = stream.partition(b"\r\n\r\n")
        pairs = [line.partition(":") for line in head.decode("latin-1").split("\r\n")]
        headers = {name.strip().lower(): text.strip() for name, _, text in pairs[1:]}
        size = int(headers.get("content-length", 0))
        parts = [rest]
        missing = size - len(rest)
        while missing > 0:
            part = self.connection.recv(min(missing, 1 << 20))
            if not part:
                return False
            parts.append(part)
            missing -= len(part)
        self.body = b"".join(parts)
        self._entry["bytes"] = len(self.body)
        self.encoding = headers.get("content-encoding", "")
        if self.encoding == "gzip":
            self.body = zlib.decompress(self.body, zlib.MAX_WBITS | 16)
        with self.endpoint.lock:
            self.endpoint.headers.update(headers.keys())
            if "authorization" in headers:
                # Never the token itself: this is printed when something fails.
                self.token = digest(headers["authorization"])
                self.endpoint.tokens[self.token] += 1
        return True


def digest(token: str) -> str:
    """Return a digest of a token, which may be printed."""
    return hashlib.sha256(token.removeprefix("Api-Token ").encode()).hexdigest()[:12]


def _timestamp(line: str) -> int:
    last = line.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def _bind(ports: Any, chance: random.Random) -> socket.socket:
    for port in chance.sample(ports, len(ports)):
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", port))
        except OSError:
            bound.close()
        else:
            return bound
    raise OSError("all ports are in use")


def main() -> None:
    """Serve until standard input ends."""
    options = json.loads(sys.argv[1])
    endpoint = Endpoint(Origin(*options["origin"]), os.getpid())
    reply(endpoint.port)
    for line in sys.stdin:
        command = json.loads(line)
        answer: Any = None
        match command["command"]:
            case "script":
                endpoint.script(command["steps"])
            case "up":
                endpoint.up()
            case "down":
                endpoint.down()
            case "pace":
                endpoint.clock.pace(command["speed"], command["at"])
            case "freeze":
                endpoint.clock.freeze(command["seconds"])
            case "received":
                answer = endpoint.received()
        reply(answer)
    os._exit(0)


def reply(answer: Any) -> None:
    """Answer a command by a line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

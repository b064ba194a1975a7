"""The scripted endpoint: a process of its own, on loopback, with its own truth.

It is told what to do by lines of JSON on its standard input, and answers each by one
line on its standard output; at the end of its input it ends. A script is a list of
steps, each ``{"verdict": name, **options}`` for so many requests (``"times"``), for so
long (``"seconds"``, of the application's clock) or from then on; a step with
``"chance"`` holds for that part of its requests, and the others are taken; a step
``"random"`` picks one of ``"of"`` for each request.
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
from collections import Counter
from contextlib import suppress
from typing import Any

from tests.faults.clock import Clock, Origin
from tests.faults.lines import Taken, is_data
from tests.faults.verdicts import VERDICTS, Options, before_reading

TAKE_ALL: Options = {"verdict": "accept"}
_JOURNAL_LIMIT = 100_000
_HEAD_LIMIT = 1 << 20


class Endpoint:
    """What listens, what it was told, and what it saw."""

    def __init__(self, origin: Origin, seed: int) -> None:
        self.clock = Clock(origin)
        self.lock = threading.Lock()
        self.taken = Taken()
        self.journal: list[dict[str, Any]] = []
        self.requests = self.connections = 0
        self.headers: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._steps: list[dict[str, Any]] = []
        #: When the step that holds now began, and so the one after it.
        self._since = 0.0
        self._open: set[socket.socket] = set()
        # Not from the range of outgoing connections: a program that tries a closed
        # port of that range often enough connects to itself.
        self._bound = _bind(range(20_000, 32_000), self._random)
        self.port = self._bound.getsockname()[1]
        self.up()

    # -- what it is told -----------------------------------------------------------

    def up(self) -> None:
        """Listen."""
        self._bound.listen(512)
        threading.Thread(target=self._listen, args=(self._bound,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and end those there are; the port stays ours."""
        # Shut down first: a thread that waits in accept() is not woken by close().
        self._bound.shutdown(socket.SHUT_RDWR)
        self._bound.close()
        self._bound = _bind([self.port], self._random)
        with self.lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def script(self, steps: list[dict[str, Any]]) -> None:
        """Go by these *steps* from now on."""
        with self.lock:
            self._steps, self._since = list(steps), self.clock.monotonic()

    def truth(self) -> dict[str, Any]:
        """Return all that was seen."""
        with self.lock:
            return {
                "requests": self.requests,
                "connections": self.connections,
                "headers": self.headers,
                "tokens": self.tokens,
                "journal": self.journal,
                **self.taken.report(),
            }

    # -- what it does --------------------------------------------------------------

    def step(self) -> dict[str, Any] | Options:
        """Return the step that holds now, and count this request for it."""
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
                    return TAKE_ALL
                return (
                    self._random.choice(step["of"])
                    if step["verdict"] == "random"
                    else step
                )
            return TAKE_ALL

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
            pass  # whoever posts may hang up at any moment
        finally:
            with self.lock:
                self._open.discard(connection)
            connection.close()


class Exchange:
    """One request and what becomes of it."""

    def __init__(
        self, endpoint: Endpoint, connection: socket.socket, number: int
    ) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self.body = b""
        self.token = ""
        self._entry: dict[str, Any] = {"connection": number, "lines": 0, "again": 0}

    def run(self) -> bool:
        """Read the request, or not; treat it; say whether more may come."""
        # Once something came there is a request, and the step counts it.
        if not self.connection.recv(1, socket.MSG_PEEK):
            return False
        step = self.endpoint.step()
        entry, clock = self._entry, self.endpoint.clock
        entry["at"] = begin = clock.monotonic()
        entry["verdict"] = str(step.get("status", step["verdict"]))
        if not before_reading(step) and not self._read():
            return False
        with self.endpoint.lock:
            self.endpoint.requests += 1
            if len(self.endpoint.journal) < _JOURNAL_LIMIT:
                self.endpoint.journal.append(entry)
        try:
            return VERDICTS[step["verdict"]](self, step)
        finally:
            entry["held"] = clock.monotonic() - begin

    def take(self, text: str) -> None:
        """Enter *text* into the truth."""
        taken, entry = self.endpoint.taken, self._entry
        if not text:
            return
        with self.endpoint.lock:
            before = sum(lines for lines, _ in taken.again.values())
            taken.take(text, self.endpoint.clock.time())
            again = sum(lines for lines, _ in taken.again.values()) - before
        entry["lines"], entry["again"] = sum(map(is_data, text.split("\n"))), again
        entry["stamp"] = max(map(_stamp, text.split("\n")))

    def note(self, verdict: str) -> None:
        """Write in the journal what was made of the request."""
        self._entry["verdict"] = verdict

    def linger(self, seconds: float) -> bool:
        """Wait, and say whether the other side is still there; nothing is read."""
        watch = select.poll()
        # Of who has hung up; that it said something before does not matter.
        watch.register(self.connection, select.POLLRDHUP)
        return not watch.poll(seconds * 1000)

    def now(self) -> float:
        """Return the time, as the application's clock has it."""
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
        with self.endpoint.lock:
            self.endpoint.headers.update(headers.keys())
            if "authorization" in headers:
                # Never the token itself: this is printed when something fails.
                self.token = digest(headers["authorization"])
                self.endpoint.tokens[self.token] += 1
        return True


def digest(token: str) -> str:
    """Return what tells tokens apart and shows none."""
    return hashlib.sha256(token.removeprefix("Api-Token ").encode()).hexdigest()[:12]


def _stamp(line: str) -> int:
    last = line.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def _bind(ports: Any, chance: random.Random) -> socket.socket:
    for port in chance.sample(ports, len(ports)):
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", port))
        except OSError:
            made.close()
        else:
            return made
    raise OSError("no port is free")


def main() -> None:
    """Serve until the input ends."""
    asked = json.loads(sys.argv[1])
    endpoint = Endpoint(Origin(*asked["origin"]), os.getpid())
    reply(endpoint.port)
    for line in sys.stdin:
        command = json.loads(line)
        said: Any = None
        match command["do"]:
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
            case "truth":
                said = endpoint.truth()
        reply(said)
    os._exit(0)


def reply(said: Any) -> None:
    """Answer a command."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""A scripted HTTP endpoint on a real loopback socket, which stores its requests.

It shares no code with the package, so that a fault there cannot hide here.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from tests.support.protocol_grammar import lines_of

# Seconds after which a wait fails. A passing test waits for milliseconds, or for some
# seconds on a machine with nine times as many tasks as cores. Less than pytest's 60 s.
PATIENCE = 45.0

_COUNT = re.compile(r'([^ ,]+)((?:,[^ =]+=(?:"[^"]*"|[^ ,"]+))*) count,delta=(\S+) \d+')


@dataclass
class Request:
    """One request that was received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    accepted: bool = False

    @property
    def lines(self) -> list[str]:
        """The lines of the body."""
        return self.body.decode().split("\n")


@dataclass
class Verdict:
    """How to treat one request.

    *act* responds, and returns whether the connection stays open. *accepted*: the lines of
    the request count as accepted. *until* delays the response.
    """

    act: Callable[[socket.socket, Endpoint], bool]
    accepted: bool = False
    before_reading: bool = False
    until: threading.Event | None = field(default=None)


def answer(
    status: int,
    body: bytes | str | dict[str, object] = b"",
    headers: Sequence[str] = (),
    *,
    accepted: bool | None = None,
    until: threading.Event | None = None,
) -> Verdict:
    """Respond with *status*, once *until* is set."""
    if isinstance(body, dict):
        body = json.dumps(body)
    text = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Text", *headers, f"Content-Length: {len(text)}"]
    raw = "\r\n".join([*lines, "", ""]).encode() + text

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        connection.sendall(raw)
        return True

    return Verdict(act, status == 202 if accepted is None else accepted, until=until)


def accept(until: threading.Event | None = None) -> Verdict:
    """Accept every line."""
    return answer(202, {"linesOk": 1, "linesInvalid": 0, "error": None}, until=until)


def partly(ok: int, invalid: int, listed: Sequence[tuple[int, str]] = ()) -> Verdict:
    """Accept *ok* lines and reject *invalid* ones, of which some may be *listed*."""
    rejected = [{"line": line, "error": error} for line, error in listed]
    error = {"code": 400, "message": "", "invalidLines": rejected}
    return answer(400, {"linesOk": ok, "linesInvalid": invalid, "error": error})


def hang_up(*, before_reading: bool = False, reset: bool = False) -> Verdict:
    """Close the connection without a response, by FIN or by RST."""

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        if reset:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return False

    return Verdict(act, before_reading=before_reading)


def never(*, before_reading: bool = False) -> Verdict:
    """Never respond, with or without reading the request."""

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        endpoint.closing.wait()
        return False

    return Verdict(act, before_reading=before_reading)


def vanish() -> Verdict:
    """Close the connection, and refuse new ones."""

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        endpoint.vanish()
        return False

    return Verdict(act)


def break_off(head: str) -> Verdict:
    """Send *head* and close the connection."""

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        connection.sendall(head.encode())
        return False

    return Verdict(act)


def dribble(
    head: str,
    *,
    pause: float = 0.02,
    drip: bytes = b" ",
    accepted: bool = True,
    before_reading: bool = False,
) -> Verdict:
    """Send *head*, and then *drip* repeatedly until the client disconnects."""

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        connection.sendall(head.replace("\n", "\r\n").encode())
        while not endpoint.closing.wait(pause):
            connection.sendall(drip)
        return False

    return Verdict(act, accepted, before_reading)


def flood(status: int, size: int) -> Verdict:
    """Respond with *size* meaningless bytes."""
    head = f"HTTP/1.1 {status} Text\r\nContent-Length: {size}\r\n\r\n"

    def act(connection: socket.socket, endpoint: Endpoint) -> bool:
        connection.sendall(head.encode())
        for _ in range(size // 65_536):
            connection.sendall(b"x" * 65_536)
        return False

    return Verdict(act, status == 202)


def bomb(status: int = 202) -> Verdict:
    """Respond with 300 KB of gzip that hold 300 MB."""
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(b"\0" * (1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    text = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 300
    return answer(status, text, ["Content-Encoding: gzip"])


class Endpoint:
    """Treats its requests by a script, one verdict each, and then by *otherwise*.

    A context manager. ``url`` is where to post; with *tls* it is an https URL. Without
    *otherwise*, requests after the script are accepted. *port* is 0 for a free one.
    """

    def __init__(
        self,
        *script: Verdict,
        otherwise: Verdict | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.closing = threading.Event()
        self._tls = tls
        self._script = list(script)
        self._otherwise = otherwise or accept()
        self._received = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        # Only Linux wakes a thread that waits in accept() when the listener is shut down.
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        place = f"127.0.0.1:{self.port}/metrics/ingest"
        self.url = f"https://{place}" if tls else f"http://{place}"

    def __enter__(self) -> Endpoint:
        self._start(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.vanish()
        with self._received:
            for connection in self._open:
                with suppress(OSError):  # already closed
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(PATIENCE)

    def vanish(self) -> None:
        """Refuse new connections."""
        # close() alone does not wake a thread that waits in accept().
        with suppress(OSError):  # already shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def wait_for(self, count: int) -> list[Request]:
        """Wait until *count* requests have been received; return all."""
        with self._received:
            assert self._received.wait_for(
                lambda: len(self.requests) >= count, PATIENCE
            ), f"{len(self.requests)} of {count} requests"
            return list(self.requests)

    def wait_for_total(self, key: str, total: float) -> None:
        """Wait until the accepted lines of counter *key* sum up to *total*."""
        with self._received:
            assert self._received.wait_for(
                lambda: self.total(key) >= total, PATIENCE
            ), f"{self.total(key)} of {total}"

    def wait_until(self, done: Callable[[], bool]) -> bool:
        """Wait until *done* is true, after each request; return whether it became so."""
        with self._received:
            return self._received.wait_for(done, PATIENCE)

    @property
    def lines(self) -> list[str]:
        """Every line of every accepted request."""
        return [line for r in list(self.requests) if r.accepted for line in r.lines]

    def total(self, key: str) -> float:
        """Return the sum of counter *key* over all accepted requests."""
        found = [_COUNT.fullmatch(line) for line in self.lines]
        return sum(float(m[3]) for m in found if m and m[1] == key)

    def values(self, key: str) -> int:
        """Return the number of values of summary *key* over all accepted requests."""
        return sum(int(line.numbers["count"]) for line in lines_of(self.lines, key))

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self._received:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while self._exchange(connection, number):
                pass
        except OSError:
            pass  # the client may disconnect at any moment
        finally:
            with self._received:
                self._open.discard(connection)
                connection.close()

    def _exchange(self, connection: socket.socket, number: int) -> bool:
        with self._received:
            early = self._script and self._script[0].before_reading
            verdict = self._script.pop(0) if early else None
        if verdict is not None:
            # After the first byte, connecting has certainly returned in the client.
            connection.recv(1, socket.MSG_PEEK)
            return verdict.act(connection, self)
        request = _read(connection, number)
        if request is None:
            return False
        with self._received:
            verdict = self._script.pop(0) if self._script else self._otherwise
            request.accepted = verdict.accepted
            self.requests.append(request)
            self._received.notify_all()
        if verdict.until is not None:
            assert verdict.until.wait(PATIENCE)
        return verdict.act(connection, self)


def _read(connection: socket.socket, number: int) -> Request | None:
    stream = b""
    while b"\r\n\r\n" not in stream:
        part = connection.recv(65536)
        if not part:
            return None
        stream += part
    head, _, body = stream.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in rest)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    while len(body) < int(headers.get("content-length", 0)):
        part = connection.recv(65536)
        if not part:
            return None
        body += part
    return Request(method, target, headers, body, number)


def refusing_port() -> int:
    """Return a loopback port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

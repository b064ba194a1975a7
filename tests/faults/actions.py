"""The actions of a script: one function for each way to answer a request, or not to.

Each takes the exchange and the options of its step, and returns whether the connection
may stay open. Lines are counted as accepted before the answer is sent.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from typing import Any, Protocol

Options = Mapping[str, Any]


class Exchange(Protocol):
    """One request, and its connection."""

    connection: socket.socket
    number: int
    body: bytes
    encoding: str
    token: str

    def ingest(self, text: str) -> None:
        """Count the lines of *text* as accepted."""

    def note(self, action: str) -> None:
        """Write into the journal how the request was answered."""

    def linger(self, seconds: float) -> bool:
        """Wait; return whether the client is still connected."""

    def now(self) -> float:
        """Return the time of the application's clock."""


def accept(exchange: Exchange, options: Options) -> bool:
    """Accept every line, and answer after ``wait`` seconds; close after ``idle``.

    ``date`` adds a date that is so many seconds later than now.
    """
    lines = exchange.body.count(b"\n") + 1
    exchange.ingest(exchange.body.decode())
    if wait := options.get("wait"):
        exchange.linger(wait)
    headers = []
    if (seconds := options.get("date")) is not None:
        headers.append(f"Date: {formatdate(exchange.now() + seconds, usegmt=True)}")
    report = {"linesOk": lines, "linesInvalid": 0, "error": None}
    _answer(exchange, 202, report, headers)
    if options.get("idle") is None:
        return True
    exchange.linger(options["idle"])  # then close, perhaps as the next request starts
    return False


def status(exchange: Exchange, options: Options) -> bool:
    """Accept nothing, and answer with ``status``, ``body`` and ``headers``.

    ``retry_date`` adds a Retry-After date so many seconds from now, and ``reset`` the
    same as an X-RateLimit-Reset.
    """
    headers = list(options.get("headers", ()))
    if (seconds := options.get("retry_date")) is not None:
        # A date has no fractions: rounded up, so that a retry in time is not early.
        date = formatdate(int(exchange.now() + seconds) + 1, usegmt=True)
        headers.append(f"Retry-After: {date}")
    if (seconds := options.get("reset")) is not None:
        moment = int((exchange.now() + seconds) * 1_000_000)
        headers.append(f"X-RateLimit-Reset: {moment}")
    _answer(exchange, options["status"], options.get("body", ""), headers)
    return True


def partly(exchange: Exchange, options: Options) -> bool:
    """Reject ``invalid`` lines of each batch, or those with ``marker``, by number."""
    lines = exchange.body.decode().split("\n")
    if marker := options.get("marker"):
        bad = [n for n, line in enumerate(lines) if marker in line]
    else:
        count = min(options["invalid"], len(lines))
        chosen = random.Random(options.get("seed", 0)).sample(range(len(lines)), count)
        bad = sorted(chosen)
    rejected = set(bad)
    exchange.ingest("\n".join(t for n, t in enumerate(lines) if n not in rejected))
    base = options.get("base", 1)
    listed = [{"line": n + base, "error": "refused"} for n in bad]
    error = {
        "code": 400,
        "message": f"{len(bad)} invalid lines",
        "invalidLines": listed,
    }
    verdict = {
        "linesOk": len(lines) - len(bad),
        "linesInvalid": len(bad),
        "error": error if bad else None,
    }
    _answer(exchange, 400 if bad else 202, verdict)
    return True


def too_large(exchange: Exchange, options: Options) -> bool:
    """Reject a batch of more than ``bytes`` with 413, and accept any other."""
    if len(exchange.body) <= options["bytes"]:
        return accept(exchange, {})
    exchange.note("413")
    _answer(exchange, 413, "<html>Request Entity Too Large</html>")
    return True


def poison(exchange: Exchange, options: Options) -> bool:
    """Reject a whole batch with 400 for one line that holds ``marker``."""
    if options["marker"].encode() not in exchange.body:
        return accept(exchange, {})
    exchange.note("poisoned")
    _answer(exchange, 400, {"error": {"code": 400, "message": "unreadable"}})
    return True


def balanced(exchange: Exchange, options: Options) -> bool:
    """Answer every other connection with 502 for good, and accept over the others."""
    if exchange.number % 2 == 0:
        return accept(exchange, {})
    exchange.note("502")
    _answer(exchange, 502, "<html>Bad Gateway</html>")
    return True


def token(exchange: Exchange, options: Options) -> bool:
    """Accept requests whose token has this ``digest``, and answer 401 to others."""
    if exchange.token == options["digest"]:
        return accept(exchange, {})
    exchange.note("401")
    _answer(exchange, 401, "")
    return True


def hang_up(exchange: Exchange, options: Options) -> bool:
    """Close the connection without an answer; ``reset`` sends RST, ``taken`` accepts."""
    if options.get("taken"):
        exchange.ingest(exchange.body.decode())
    if options.get("reset"):
        linger = struct.pack("ii", 1, 0)
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return False


def silent(exchange: Exchange, options: Options) -> bool:
    """Never answer; ``taken`` accepts the lines all the same."""
    if options.get("taken"):
        exchange.ingest(exchange.body.decode())
    exchange.linger(3600)
    return False


def dribble(exchange: Exchange, options: Options) -> bool:
    """Accept all, and answer a header or a byte at a time; ``where``: head or body."""
    exchange.ingest(exchange.body.decode())
    head = "HTTP/1.1 202 Accepted\r\n"
    piece = b"X-Slow: 1\r\n"
    if options["where"] == "body":
        head += "Content-Length: 1000000\r\n\r\n"
        piece = b" "
    exchange.connection.sendall(head.encode())
    while exchange.linger(options.get("pause", 0.4)):
        exchange.connection.sendall(piece)
    return False


def deaf(exchange: Exchange, options: Options) -> bool:
    """Accept the connection, and never read from it."""
    exchange.linger(3600)
    return False


def flood(exchange: Exchange, options: Options) -> bool:
    """Accept all, and answer with far too much; ``of``: bomb, headers or plain."""
    exchange.ingest(exchange.body.decode())
    for part in _FLOODS[options["of"]]():
        exchange.connection.sendall(part)
    return False


def _bomb() -> Iterable[bytes]:
    """Return an answer of 300 KB that inflates to 300 MB."""
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    text = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 300
    head = f"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: {len(text)}\r\n\r\n"
    return [head.encode(), text]


def _plain() -> Iterable[bytes]:
    """Return an answer of 100 MB."""
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 104857600\r\n\r\n"
    return [head, *[b"x" * (1 << 20)] * 100]


def _headers() -> Iterable[bytes]:
    """Return an answer with a million headers."""
    return [b"HTTP/1.1 202 Accepted\r\n", *[b"X-More: more\r\n" * 1000] * 1000]


_FLOODS: dict[str, Callable[[], Iterable[bytes]]] = {
    "bomb": _bomb,
    "headers": _headers,
    "plain": _plain,
}


def uncompressed(exchange: Exchange, options: Options) -> bool:
    """Answer compressed lines with ``status``, 400 as invalid ones; accept others."""
    if not exchange.encoding:
        return accept(exchange, {})
    exchange.note("refused")
    invalid = exchange.body.count(b"\n") + 1
    report = {"linesOk": 0, "linesInvalid": invalid, "error": None}
    _answer(exchange, options["status"], report if options["status"] == 400 else "")
    return True


#: The actions, by the names that scripts use.
ACTIONS: dict[str, Callable[[Exchange, Options], bool]] = {
    act.__name__: act
    for act in (
        *(accept, status, partly, too_large, poison, token, uncompressed),
        balanced,
        *(hang_up, silent, dribble, deaf, flood),
    )
}


def before_reading(step: Options) -> bool:
    """Return whether a step acts before the request is read."""
    return step["action"] == "deaf" or bool(step.get("unread"))


def _answer(
    exchange: Exchange, code: int, body: Any = "", headers: Iterable[str] = ()
) -> None:
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {code} Text", *headers, f"Content-Length: {len(text)}"]
    exchange.connection.sendall("\r\n".join([*lines, "", ""]).encode() + text)

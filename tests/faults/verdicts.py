"""How an endpoint may treat a request: one function for each way of misbehaving.

Each is given the exchange and the options of its step, and returns whether the
connection may stay open. What it takes it says to the exchange before it answers.
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
    """One request, and the connection that it came by."""

    connection: socket.socket
    body: bytes
    token: str

    def take(self, text: str) -> None:
        """Enter *text* into the truth: this endpoint has ingested it."""

    def note(self, verdict: str) -> None:
        """Write in the journal what was made of the request."""

    def linger(self, seconds: float) -> bool:
        """Wait, and say whether the other side is still there."""

    def now(self) -> float:
        """Return the time, as the application's clock has it."""


def accept(exchange: Exchange, options: Options) -> bool:
    """Take every line. With ``wait`` it takes its time to answer."""
    lines = exchange.body.count(b"\n") + 1
    exchange.take(exchange.body.decode())
    if wait := options.get("wait"):
        exchange.linger(wait)
    _answer(exchange, 202, {"linesOk": lines, "linesInvalid": 0, "error": None})
    if options.get("idle") is None:
        return True
    exchange.linger(options["idle"])  # and hang up, perhaps just as more comes
    return False


def status(exchange: Exchange, options: Options) -> bool:
    """Take nothing: ``status``, ``body``, ``headers``; ``retry_date`` is in seconds."""
    headers = list(options.get("headers", ()))
    if (seconds := options.get("retry_date")) is not None:
        # A date has no fractions: the next whole second, so that none comes early.
        date = formatdate(int(exchange.now() + seconds) + 1, usegmt=True)
        headers.append(f"Retry-After: {date}")
    _answer(exchange, options["status"], options.get("body", ""), headers)
    return True


def partly(exchange: Exchange, options: Options) -> bool:
    """Refuse ``invalid`` lines of each body, or those with ``marker``, by number."""
    lines = exchange.body.decode().split("\n")
    if marker := options.get("marker"):
        bad = [n for n, line in enumerate(lines) if marker in line]
    else:
        count = min(options["invalid"], len(lines))
        chosen = random.Random(options.get("seed", 0)).sample(range(len(lines)), count)
        bad = sorted(chosen)
    refused = set(bad)
    exchange.take("\n".join(t for n, t in enumerate(lines) if n not in refused))
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
    """Refuse a body of more than ``bytes``, and take any other."""
    if len(exchange.body) <= options["bytes"]:
        return accept(exchange, {})
    exchange.note("413")
    _answer(exchange, 413, "<html>Request Entity Too Large</html>")
    return True


def poison(exchange: Exchange, options: Options) -> bool:
    """Refuse a whole body for one line that holds ``marker``, and not say which."""
    if options["marker"].encode() not in exchange.body:
        return accept(exchange, {})
    exchange.note("poisoned")
    _answer(exchange, 400, "<html>Bad Request</html>")
    return True


def token(exchange: Exchange, options: Options) -> bool:
    """Take what comes with the token of this digest, and no other."""
    if exchange.token == options["digest"]:
        return accept(exchange, {})
    exchange.note("401")
    _answer(exchange, 401, "")
    return True


def hang_up(exchange: Exchange, options: Options) -> bool:
    """End the connection without a word, with ``reset`` by RST; ``taken`` or not."""
    if options.get("taken"):
        exchange.take(exchange.body.decode())
    if options.get("reset"):
        linger = struct.pack("ii", 1, 0)
        exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return False


def silent(exchange: Exchange, options: Options) -> bool:
    """Never answer; ``taken`` or not."""
    if options.get("taken"):
        exchange.take(exchange.body.decode())
    exchange.linger(3600)
    return False


def dribble(exchange: Exchange, options: Options) -> bool:
    """Take all, and answer a line or a byte at a time, ``where`` is head or body."""
    exchange.take(exchange.body.decode())
    head = "HTTP/1.1 202 Accepted\r\n"
    drop = b"X-Slow: 1\r\n"
    if options["where"] == "body":
        head += "Content-Length: 1000000\r\n\r\n"
        drop = b" "
    exchange.connection.sendall(head.encode())
    while exchange.linger(options.get("pause", 0.4)):
        exchange.connection.sendall(drop)
    return False


def deaf(exchange: Exchange, options: Options) -> bool:
    """Accept the connection and read nothing of it."""
    exchange.linger(3600)
    return False


def flood(exchange: Exchange, options: Options) -> bool:
    """Take all, and answer with more than anybody wants: ``of`` says what."""
    exchange.take(exchange.body.decode())
    for part in _FLOODS[options["of"]]():
        exchange.connection.sendall(part)
    return False


def _bomb() -> Iterable[bytes]:
    """Return 300 KB that inflate to 300 MB."""
    packer = zlib.compressobj(9, wbits=-15)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    text = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * 300
    head = f"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: {len(text)}\r\n\r\n"
    return [head.encode(), text]


def _plain() -> Iterable[bytes]:
    """Return 100 MB of an answer."""
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 104857600\r\n\r\n"
    return [head, *[b"x" * (1 << 20)] * 100]


def _headers() -> Iterable[bytes]:
    """Return a million headers."""
    return [b"HTTP/1.1 202 Accepted\r\n", *[b"X-More: more\r\n" * 1000] * 1000]


_FLOODS: dict[str, Callable[[], Iterable[bytes]]] = {
    "bomb": _bomb,
    "headers": _headers,
    "plain": _plain,
}

#: By name, as a script says them.
VERDICTS: dict[str, Callable[[Exchange, Options], bool]] = {
    act.__name__: act
    for act in (
        *(accept, status, partly, too_large, poison, token),
        *(hang_up, silent, dribble, deaf, flood),
    )
}


def before_reading(step: Options) -> bool:
    """Say whether a step wants nothing of the request to be read."""
    return step["verdict"] == "deaf" or bool(step.get("unread"))


def _answer(
    exchange: Exchange, code: int, body: Any = "", headers: Iterable[str] = ()
) -> None:
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {code} Text", *headers, f"Content-Length: {len(text)}"]
    exchange.connection.sendall("\r\n".join([*lines, "", ""]).encode() + text)

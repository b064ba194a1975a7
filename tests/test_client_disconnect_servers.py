"""Clients that leave real servers in the middle of a request."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from urllib.parse import urlsplit

import pytest

from tests.support.endpoint import Endpoint
from tests.support.web_load import counts, serving

pytestmark = pytest.mark.processes

APPS = "tests.support.web_apps"
GUNICORN = ["gunicorn", "--bind", "127.0.0.1:0"]
#: gunicorn's own worker for ASGI: it cancels the application at once.
ASGI = [*GUNICORN, "--worker-class=asgi", "--asgi-disconnect-grace-period=0"]
UVICORN = ["uvicorn", "--port=0", "--factory"]

# The server sends a first byte for each, when it has read the head.
UPLOAD = b"POST /upload HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"
CHUNKED = UPLOAD.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked")
STREAM = b"GET /endless HTTP/1.1\r\n"

SERVERS = [
    ([*GUNICORN, f"{APPS}.wsgi_app:create_app()"], [UPLOAD, CHUNKED, STREAM]),
    ([*GUNICORN, f"{APPS}.flask_app:create_app()"], [UPLOAD, CHUNKED, STREAM]),
    ([*GUNICORN, f"{APPS}.django_app:create_wsgi()"], [UPLOAD, STREAM]),
    ([*ASGI, f"{APPS}.fastapi_app:create_app()"], [UPLOAD, STREAM]),
    ([*UVICORN, f"{APPS}.fastapi_app:create_app"], [UPLOAD, STREAM]),
    ([*UVICORN, f"{APPS}.django_app:create_asgi"], [STREAM]),
]


def leave(address: str, request: bytes) -> None:
    """Send *request*, wait for the first byte from the server, and reset the connection."""
    place = urlsplit(address)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 80)) as client:
        client.sendall(request + b"Host: x\r\n\r\n")
        assert client.recv(1)
        linger = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.parametrize(
    ("command", "requests"),
    [
        pytest.param(
            command, asked, id=" ".join([*command[:1], *command[3:]]).replace(APPS, "")
        )
        for command, asked in SERVERS
    ],
)
def test_no_error(command: list[str], requests: list[bytes]) -> None:
    """A client that leaves is not an error: it has the status that was sent, or none."""
    for module in (
        command[0],
        *[n for n in ("flask", "django", "fastapi") if n in str(command)],
    ):
        pytest.importorskip(module)
    if "create_asgi" in command[-1] and pytest.importorskip("django").VERSION < (5,):
        pytest.skip("before Django 5 a client that leaves is not noticed under ASGI")
    expected = Counter(
        (request.split()[1].decode(), "200" if request == STREAM else None, None)
        for request in requests
    )
    with Endpoint() as endpoint:
        with serving(command, endpoint) as address:
            for request in requests:
                leave(address, request)
            endpoint.wait_until(lambda: counts(endpoint).total() >= len(requests))
        assert counts(endpoint) == expected

"""What an ASGI application has recorded is delivered when its server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from dtmetrics._instrument.lifespan import follow_lifespan
from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.web_load import serving

APPLICATION = """
from dtmetrics import configure
from dtmetrics.integrations.{module} import {name}

configure()

async def answer(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b""}})

{application}
app = {name}(application)
"""

KINDS = {
    "without lifespan": """
async def application(scope, receive, send):
    await answer(scope, receive, send)
""".replace("    await", '    assert scope["type"] == "http"\n    await', 1),
    "silent": """
async def application(scope, receive, send):
    if scope["type"] == "http":
        await answer(scope, receive, send)
""",
    "with lifespan": """
async def application(scope, receive, send):
    if scope["type"] == "http":
        await answer(scope, receive, send)
    while scope["type"] == "lifespan":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            break
""",
    "django": """
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse())]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
application = get_asgi_application()
""",
    "fastapi": """
from fastapi import FastAPI

application = FastAPI()
application.get("/")(lambda: None)
""",
}
OPTIONS = {"alone": "", "workers": "--workers=2", "reload": "--reload"}


@pytest.mark.processes
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_uvicorn(kind: str, options: str, tmp_path: Path) -> None:
    """Nothing is lost when SIGTERM stops uvicorn, with the middleware alone."""
    pytest.importorskip("uvicorn")
    if kind in ("django", "fastapi"):
        pytest.importorskip(kind)
    module, name = ("fastapi", "Metrics") if kind == "fastapi" else ("asgi", "MetricsMiddleware")  # fmt: skip
    source = APPLICATION.format(application=KINDS[kind], module=module, name=name)
    (tmp_path / "served.py").write_text(source, "utf-8")
    command = ["uvicorn", "--port=0", *options.split(), "served:app"]
    # Workers listen some time after their parent has named the address.
    transport = httpx.HTTPTransport(retries=6)
    with Endpoint() as endpoint:
        with (
            serving(command, endpoint, tmp_path) as address,
            httpx.Client(transport=transport, timeout=PATIENCE) as client,
        ):
            statuses = [client.get(address).status_code for _ in range(60)]
        assert statuses == [200] * 60
        served = endpoint.values("http.server.request.duration")
    assert served == 60


def followed(application: Callable[..., Awaitable[None]]) -> list[str]:
    """Follow the lifespan of *application*; return what happened, in its order."""
    happened: list[str] = []
    received = ["lifespan.shutdown", "lifespan.startup"]

    async def receive() -> dict[str, Any]:
        return {"type": received.pop()}

    async def send(message: Any) -> None:
        happened.append(message["type"])

    def flush(seconds: float) -> None:
        happened.append(f"flush within {seconds} seconds")

    try:
        asyncio.run(follow_lifespan(application, receive, send, flush=flush))
    except Exception as error:
        happened.append(repr(error))
    return happened


def test_order() -> None:
    """The flush comes before the answer to the shutdown."""

    async def application(receive: Any, send: Any) -> None:
        for _ in range(2):
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})

    assert followed(application) == [
        "lifespan.startup.complete",
        "flush within 2.0 seconds",
        "lifespan.shutdown.complete",
    ]


def test_failed_startup() -> None:
    """What an application raises and answers once it has received is passed on."""

    async def application(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise LookupError

    assert followed(application) == ["lifespan.startup.failed", "LookupError()"]


def test_failed_shutdown() -> None:
    """An application whose shutdown fails has delivered before."""

    async def application(receive: Any, send: Any) -> None:
        await receive()
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "busy"})

    assert followed(application)[0].startswith("flush")


def test_unsupported() -> None:
    """A lifespan that an application does not support is followed in its place."""

    async def application(receive: Any, send: Any) -> None:
        raise ValueError("only http")

    assert followed(application) == [
        "lifespan.startup.complete",
        "flush within 2.0 seconds",
        "lifespan.shutdown.complete",
    ]

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.endpoint import Endpoint
from tests.support.protocol_grammar import read
from tests.support.web_load import Ask, active, asks, counts, expected, load, serving

django = pytest.importorskip("django")

pytestmark = pytest.mark.processes

GUNICORN = ["gunicorn", "--bind", "127.0.0.1:0", "--workers", "2"]
WSGI, ASGI = (
    f"tests.support.web_apps.django_app:create_{form}" for form in ("wsgi", "asgi")
)
SERVERS = [
    [*GUNICORN, "--worker-class", "gthread", "--threads", "4", f"{WSGI}()"],
    [*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", f"{ASGI}()"],
    ["uvicorn", "--port", "0", "--factory", ASGI],
]

TIMES = 90  # some 2,000 requests
ITEM, REGULAR = "/items/<int:number>", r"/re/(?P<number>\d+)/"
MORE = [
    Ask("GET", "/v1/shop/7", "/v1/shop/<int:number>", "200"),
    Ask("GET", "/items/re/7/", f"/items{REGULAR}", "200"),
    Ask("GET", "/v1/shop/re/7/", f"/v1/shop{REGULAR}", "200"),
    Ask("POST", "/items/7", ITEM, "405"),
    Ask("GET", "/items/x", None, "404"),
    Ask("GET", "/file", "/file", "200"),
]


def queries(endpoint: Endpoint) -> Counter[tuple[str, str | None]]:
    """Return the number of queries that arrived, by operation and table."""
    found: Counter[tuple[str, str | None]] = Counter()
    for line in endpoint.lines:
        if line.startswith("db.client.operation.duration"):
            pairs = read(line).dimensions
            assert pairs["db.system.name"] == "sqlite"
            assert pairs["db.namespace"] == "shop.sqlite3"
            key = pairs["db.operation.name"], pairs.get("db.collection.name")
            found[key] += int(re.findall(r"count=(\d+)", line)[0])
    return found


SERVED = pytest.mark.parametrize(
    "command", SERVERS, ids=["gthread", "uvicorn worker", "uvicorn"]
)


def needs(command: list[str]) -> None:
    """Skip a test whose server is missing."""
    for module in [command[0], *re.findall("uvicorn_worker", " ".join(command))]:
        pytest.importorskip(module)


@SERVED
def test_every_request_is_counted(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each served request arrives, by route, status and error, and so does each query.

    There are nested includes, expressions, streams, failing streams, files and clients
    that leave, over all workers together. In the end no request is active.
    """
    needs(command)
    monkeypatch.setenv("DTMETRICS_INTERVAL", "0.2")
    plan = [*asks("<int:number>"), *MORE] * TIMES
    if django.VERSION < (5,) and ASGI in command[-1]:
        # Before Django 5 a client that leaves is not noticed under ASGI.
        plan = [ask for ask in plan if ask.path != "/endless"]
    found = [ITEM, "/v1/shop/<int:number>"]
    asked = sum(ask.route in found and ask.status == "200" for ask in plan)
    with Endpoint() as endpoint:
        with serving(command, endpoint) as address:
            load(address, plan)
            endpoint.wait_until(lambda: counts(endpoint).total() >= len(plan))
        assert counts(endpoint) == expected(plan)
        now_active, executed = active(endpoint), queries(endpoint)
    assert set(now_active.values()) == {"0"}
    assert executed == {("SELECT", "shop_item"): asked}


@SERVED
def test_the_last_interval(command: list[str]) -> None:
    """Requests since the last flush arrive when the server is stopped.

    One may be missing under uvicorn: the client has its response before the request is
    recorded, and the signal may end the server in between.
    """
    needs(command)
    plan = [Ask("GET", "/stream", "/stream", "200")] * 20
    with Endpoint() as endpoint:
        with serving(command, endpoint) as address:
            load(address, plan)
        missing = (expected(plan) - counts(endpoint)).total()
        assert missing <= (1 if "uvicorn" in " ".join(command).lower() else 0)

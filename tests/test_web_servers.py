from __future__ import annotations

from contextlib import ExitStack

import httpx
import pytest

from tests.support.endpoint import Endpoint
from tests.support.web_load import Ask, active, asks, counts, expected, load, serving

pytestmark = pytest.mark.processes

GUNICORN = ["gunicorn", "--bind", "127.0.0.1:0", "--workers", "2"]
UVICORN = ["uvicorn", "--port", "0", "--factory"]
PLAIN, FLASK, FAST = (
    f"tests.support.web_apps.{name}_app:create_app"
    for name in ("wsgi", "flask", "fastapi")
)

MORE = {
    PLAIN: [
        Ask("BREW", "/items/7", "/items/{number}", "200"),
        Ask("POST", "/items/7", "/items/{number}", "405"),
        Ask("GET", "/written", "/written", "200"),
        Ask("GET", "/file", "/file", "200"),
    ],
    FLASK: [
        Ask("POST", "/items/7", None, "405"),
        Ask("GET", "/items/x", None, "404"),
    ],
    FAST: [
        Ask("POST", "/items/7", "/items/{number}", "405"),
        Ask("GET", "/items/x", "/items/{number}", "422"),
        Ask("GET", "/openapi.json", "/openapi.json", "200"),
    ],
}
TIMES = 120  # some 2,500 requests
NUMBER = {PLAIN: "{number}", FLASK: "<int:number>", FAST: "{number}"}
NEEDS = {PLAIN: [], FLASK: ["flask"], FAST: ["fastapi"]}

SERVERS = [
    pytest.param(
        command, app, id=" ".join([command[0], *command[5:], app.split(".")[3]])
    )
    for command, app in [
        ([*GUNICORN, "--worker-class", "sync"], PLAIN),
        ([*GUNICORN, "--worker-class", "gthread", "--threads", "4"], PLAIN),
        ([*GUNICORN, "--worker-class", "gthread", "--threads", "4"], FLASK),
        ([*GUNICORN, "--preload"], FLASK),
        ([*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker"], FAST),
        (UVICORN, FAST),
    ]
]


@pytest.mark.parametrize(("command", "app"), SERVERS)
def test_every_request_is_counted(command: list[str], app: str) -> None:
    """Each served request arrives, by route, status and error.

    There are streams, failing streams, clients that leave, HEAD, 304 and unknown paths,
    over all workers together. In the end no request is active.
    """
    for module in [command[0], *NEEDS[app]]:
        pytest.importorskip(module)
    if "uvicorn_worker.UvicornWorker" in command:
        pytest.importorskip("uvicorn_worker")
    plan = [*asks(NUMBER[app]), *MORE[app]] * TIMES
    target = app if command is UVICORN else f"{app}()"
    with Endpoint() as endpoint:
        with serving([*command, target], endpoint) as address:
            load(address, plan)
            endpoint.wait_until(lambda: counts(endpoint).total() >= len(plan))
        assert counts(endpoint) == expected(plan)
        now_active = active(endpoint)
    assert set(now_active.values()) == {"0"}
    # Servers of other tests, which run at once, have numbers as well.
    numbers = {worker for worker, _ in now_active}
    assert len(numbers) <= 2
    assert all(number.isdecimal() == (command is not UVICORN) for number in numbers)


def test_active_requests() -> None:
    """The gauges of all workers add up to the number of active requests."""
    pytest.importorskip("gunicorn")
    command = [*GUNICORN, "--worker-class", "gthread", "--threads", "4", f"{PLAIN}()"]

    def total() -> int:
        return sum(map(int, active(endpoint).values()))

    with Endpoint() as endpoint, serving(command, endpoint) as address:
        with ExitStack() as stack:
            begun = []  # a stream without a reference is closed
            for _ in range(3):
                client = stack.enter_context(httpx.Client(trust_env=False))
                stream = client.stream("GET", f"{address}/endless")
                begun.append(stack.enter_context(stream).iter_raw())
                next(begun[-1])
            assert endpoint.wait_until(lambda: total() == 3)
        assert endpoint.wait_until(lambda: total() == 0)

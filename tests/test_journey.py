"""The library on one page: what a program says, and what the endpoint gets."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from dtmetrics import (
    configure,
    context,
    counter,
    flush,
    gauge,
    get_meter,
    observe,
    shutdown,
    stats,
    summary,
    timed,
)
from dtmetrics._runtime.runtime import default
from tests.support.endpoint import Endpoint, accept, answer, hang_up, partly


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Return an endpoint that takes everything."""
    observers = default.registry.observers[:]
    with Endpoint() as made:
        yield made
        shutdown()
    default.registry.observers[:] = observers


def shown(lines: list[str]) -> list[str]:
    """Return *lines* sorted, their time as ``T``, without what all have in common."""
    without = (line for line in lines if not line.startswith("#"))
    home = ",dt.metrics.source=dtmetrics"
    return sorted(
        re.sub(r" 1[0-9]{12}$", " T", line).replace(home, "") for line in without
    )


def test_journey(endpoint: Endpoint) -> None:
    """What is recorded is what the endpoint gets, to the byte, and is accounted for."""
    configure(endpoint=endpoint.url, interval=None, dimensions={"team": "shop"})

    orders = counter("orders.placed", unit="{order}", description="Orders taken")
    orders.inc()
    orders.inc(3, region="eu west")
    eu = orders.bind(region="eu west")
    eu.inc(2)
    gauge("queue.depth").set(12)
    summary("cart.value", unit="EUR").record(9.5)
    summary("cart.value", unit="EUR").record(0.5)
    observe("pool.size")(lambda: 7)
    with context(tenant="acme"):
        get_meter("shop.jobs").counter("jobs.run").inc()

    assert flush()
    data, meanings = endpoint.requests
    assert all(",dt.metrics.source=dtmetrics," in line for line in data.lines)
    assert shown(data.lines) == [
        "cart.value,team=shop gauge,min=0.5,max=9.5,sum=10,count=2 T",
        "jobs.run,team=shop,tenant=acme count,delta=1 T",
        'orders.placed,region="eu west",team=shop count,delta=5 T',
        "orders.placed,team=shop count,delta=1 T",
        "pool.size,team=shop gauge,7 T",
        "queue.depth,team=shop gauge,12 T",
    ]

    assert sorted(meanings.lines) == [
        "#cart.value gauge dt.meta.unit=EUR",
        '#orders.placed count dt.meta.unit=Count,dt.meta.description="Orders taken"',
    ]

    eu.inc()
    assert flush()
    assert len(endpoint.requests) == 3
    assert shown(endpoint.requests[2].lines) == [
        'orders.placed,region="eu west",team=shop count,delta=1 T',
        "pool.size,team=shop gauge,7 T",
        "queue.depth,team=shop gauge,12 T",
    ]
    told = stats()
    assert (told.collected, told.accepted, told.flushes) == (9, 9, 2)
    assert (told.rejected, told.dropped, told.waiting, told.last_error) == (
        0,
        {},
        0,
        "",
    )
    assert shutdown()


def test_timer(endpoint: Endpoint) -> None:
    """A decorated function is timed, and says what it raised."""
    configure(endpoint=endpoint.url, interval=None)

    @timed("checkout.duration", args=("region",))
    def checkout(region: str) -> None:
        if region == "us":
            raise KeyError(region)

    checkout("eu")
    with pytest.raises(KeyError):
        checkout("us")
    assert flush()
    heads = [line.partition(" gauge,")[0] for line in shown(endpoint.lines)]
    assert heads == [
        "checkout.duration,error.type=KeyError,region=us",
        "checkout.duration,region=eu",
    ]


def test_by_itself(endpoint: Endpoint) -> None:
    """With an interval nobody has to flush: the first record starts the thread."""
    configure(endpoint=endpoint.url, interval=0.02)
    counter("jobs.done").inc()
    endpoint.wait_for_total("jobs.done", 1)
    counter("jobs.done").inc(2)
    endpoint.wait_for_total("jobs.done", 3)
    assert shutdown()
    assert endpoint.total("jobs.done") == 3


def test_outage(caplog: pytest.LogCaptureFixture) -> None:
    """What an outage held up comes late, once, and with the time it was recorded at."""
    down = [answer(503), answer(429, headers=["Retry-After: 1"])]
    # A kept connection that breaks is replaced, and tried once more, at once.
    down += [hang_up(), hang_up(), accept()]
    with Endpoint(*down) as endpoint:
        configure(endpoint=endpoint.url, interval=None)
        answers = []
        for _ in range(3):
            counter("jobs.done").inc()
            answers.append(flush())
            assert stats().waiting == len(answers)
        counter("jobs.done").inc()
        answers.append(flush())
        assert shutdown()
    assert answers == [False, False, False, True]
    assert endpoint.total("jobs.done") == 4
    lines = [line for line in endpoint.lines if line.startswith("jobs.done,")]
    moments = [line.rpartition(" ")[2] for line in lines]
    assert moments == [sorted(moments)[n] for n in (0, 2, 3, 1)]  # the newest first
    assert moments[0] == endpoint.requests[0].lines[0].rpartition(" ")[2]
    said = [record.getMessage() for record in caplog.records]
    assert said[-1] == "dtmetrics: delivering again"
    assert len(said) == 4  # each trouble once


def test_refused_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A refused line is counted and named; the rest of its body is not sent again."""
    with Endpoint(partly(1, 1, [(2, "invalid metric key")])) as endpoint:
        configure(endpoint=endpoint.url, interval=None)
        counter("jobs.done").inc()
        counter("orders.lost").inc()
        assert flush()
        assert shutdown()
    told = stats()
    # The third is a line of our own, which says that one was lost.
    assert (told.collected, told.accepted, told.rejected) == (3, 2, 1)
    assert told.last_error == "1 lines refused"
    assert [len(request.lines) for request in endpoint.requests] == [2, 1, 1]
    assert endpoint.total("dtmetrics.client.points.dropped") == 1
    (record,) = caplog.records
    assert re.fullmatch(
        r"dtmetrics: the endpoint rejected counter 'orders\.lost' \(defined at .*test_journey\.py:"
        r"[0-9]+\): invalid metric key",
        record.getMessage(),
    )


def test_environment_and_token(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint and its token may come from the environment alone."""
    monkeypatch.setenv(
        "DT_METRICS_INGEST_URL", f"http://127.0.0.1:{endpoint.port}/e/abc"
    )
    monkeypatch.setenv("DT_METRICS_INGEST_API_TOKEN", "dt0c01.public.secret\n")
    configure(interval=None)
    counter("jobs.done").inc()
    assert flush()
    (request,) = endpoint.requests
    assert request.target == "/e/abc/api/v2/metrics/ingest"
    assert request.headers["authorization"] == "Api-Token dt0c01.public.secret"


def test_nothing_without_configure(endpoint: Endpoint) -> None:
    """A library that records in a program that never configures is silent."""
    before = stats()
    get_meter("some.library").counter("calls").inc()
    assert flush()
    assert stats() == before
    assert endpoint.connections == 0


def test_many_threads(endpoint: Endpoint) -> None:
    """Whatever threads record at once, every count arrives once."""
    configure(endpoint=endpoint.url, interval=0.01)
    orders = counter("jobs.done")

    def work() -> None:
        for _ in range(5_000):
            orders.inc()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert shutdown()
    assert endpoint.total("jobs.done") == 20_000
    told = stats()
    assert told.collected == told.accepted == len(endpoint.lines)

"""What a type checker sees: wrong uses carry an ignore, which mypy insists on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from typing_extensions import assert_type

from dtmetrics import (
    Counter,
    Gauge,
    Meter,
    Stats,
    Summary,
    Timer,
    counter,
    gauge,
    get_meter,
    stats,
    summary,
    timed,
)
from dtmetrics.integrations.wsgi import MetricsMiddleware


@timed
def bare(number: int) -> str:
    return str(number)


@timed("named.duration", args=("number",))
def named(number: int, *, flag: bool = False) -> str:
    return str((number, flag))


@timed
async def coroutine(number: int) -> str:
    return str(number)


@timed
def generator(number: int) -> Iterator[int]:
    yield number


@timed
async def async_generator(number: int) -> AsyncIterator[int]:
    yield number


@timed
class Service:
    @timed("method.duration")
    def method(self, number: int) -> str:
        return str(number)


@counter("jobs.run")
@gauge("jobs.active")
def job(number: int) -> str:
    return str(number)


assert_type(bare(1), str)
bare("1")  # type: ignore[arg-type]
named(1, flag=True)
named(1, True)  # type: ignore[call-arg]
waiting: Coroutine[Any, Any, str] = coroutine(1)
assert_type(generator(1), Iterator[int])
assert_type(async_generator(1), AsyncIterator[int])
assert_type(Service(), Service)
assert_type(Service().method(1), str)
Service().method("1")  # type: ignore[arg-type]
assert_type(job(1), str)
job()  # type: ignore[call-arg]
assert_type(timed("block"), Timer)
assert_type(counter("c").bind(region="eu"), Counter)
assert_type(gauge("g").bind(region="eu"), Gauge)
assert_type(summary("s").bind(region="eu"), Summary)
assert_type(get_meter("m").bind(region="eu"), Meter)
assert_type(stats(), Stats)
counter(1)  # type: ignore[arg-type]
counter("c").inc("1")  # type: ignore[arg-type]
counter("c", "s")  # type: ignore[call-arg]
with timed("block") as block:
    assert_type(block.elapsed, float)


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    return []


MetricsMiddleware(wsgi_app, exclude="/health", meter=get_meter())
MetricsMiddleware(wsgi_app, semconv="old")  # type: ignore[call-arg]
MetricsMiddleware(wsgi_app, excluded="/health")  # type: ignore[call-arg]
MetricsMiddleware(wsgi_app, websockets=True)  # type: ignore[call-arg]

"""Uses of the API for type checkers; each wrong use has a `type: ignore`.

`tests/test_typing.py` compares the lines that each checker reports with these.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from typing_extensions import assert_type

import dtmetrics
from dtmetrics import (
    ConsoleExporter,
    Counter,
    Gauge,
    Job,
    Level,
    MemoryExporter,
    Meter,
    Stats,
    Summary,
    Timer,
    configure,
    context,
    counter,
    dict_config,
    file_config,
    flush,
    gauge,
    get_meter,
    install_signal_handlers,
    job,
    observe,
    shutdown,
    stats,
    summary,
    timed,
)
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch, DynatraceExporter, ExportResult, Outcome
from dtmetrics.integrations import asgi, starlette, wsgi
from dtmetrics.integrations.aws_lambda import handler
from dtmetrics.integrations.faas import invocation
from dtmetrics.integrations.httpx import instrument_httpx

# -- decorators ----------------------------------------------------------------------


@timed
def bare(number: int) -> str:
    return str(number)


@timed("named.duration", args=("number",), result=lambda text: {"length": len(text)})
def named(number: int, *, flag: bool = False) -> str:
    return str((number, flag))


@timed
async def coroutine(number: int) -> str:
    return str(number)


@timed(generator="active")
def generator(number: int) -> Iterator[int]:
    yield number


@timed
async def async_generator(number: int) -> AsyncIterator[int]:
    yield number


@timed
class Service:
    @timed("method.duration", ignore=(KeyError, TimeoutError))
    def method(self, number: int) -> str:
        return str(number)


@counter("jobs.run")
@gauge("jobs.active")
def work(number: int) -> str:
    return str(number)


@job("nightly", dimensions={"region": "eu"})
async def nightly(number: int) -> str:
    return str(number)


@observe("pool.size")
def pool_size() -> int:
    return 3


@observe("pool.sizes", kind="counter")
def pool_sizes() -> list[tuple[float, dict[str, str]]]:
    return [(3.0, {"pool": "a"})]


@observe("pool.name")  # type: ignore[type-var]
def pool_name() -> bytes:
    return b""


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
assert_type(work(1), str)
work()  # type: ignore[call-arg]
wrong = nightly("1")  # type: ignore[arg-type]
job("nightly", region="eu")  # type: ignore[call-arg]
assert_type(pool_size(), int)
assert_type(pool_sizes(), list[tuple[float, dict[str, str]]])
timed("t", generator="some")  # type: ignore[call-overload]
timed("t", args=1)  # type: ignore[call-overload]
timed("t", ignore=(1,))  # type: ignore[arg-type]
timed("t", level="VERBOSE")  # type: ignore[call-overload]
timed("t", percentiles="0.5")  # type: ignore[arg-type]
timed("t", slow="2")  # type: ignore[call-overload]
observe("o", kind="histogram")  # type: ignore[arg-type]

# -- instruments ---------------------------------------------------------------------

assert_type(timed("block"), Timer)
assert_type(timed("t", percentiles=(0.5,), slo=[1, 2.5], slow=2), Timer)
assert_type(summary("s", percentiles=[0.5], slo=(1,), slow=2.5), Summary)
assert_type(job("nightly"), Job)
with job("nightly") as run:
    assert_type(run, Job)
assert_type(counter("c").bind(region="eu"), Counter)
assert_type(gauge("g").bind(region="eu"), Gauge)
assert_type(summary("s").bind(region="eu"), Summary)
assert_type(get_meter("m").bind(region="eu"), Meter)
assert_type(get_meter("m").counter("c"), Counter)
assert_type(stats(), Stats)
assert_type(stats().collected, int)
level: Level = "DEBUG"
counter("c", unit="{order}", description="Orders", level=level, dimensions={"a": 1})
gauge("g", level=logging.DEBUG)
counter("c", level="VERBOSE")  # type: ignore[arg-type]
summary("s", level=None)  # type: ignore[arg-type]
counter(1)  # type: ignore[arg-type]
counter("c", "s")  # type: ignore[call-arg]
counter("c", units="s")  # type: ignore[call-arg]
counter("c").inc(2, region="eu", code=200)
counter("c").inc("1")  # type: ignore[arg-type]
counter("c").set(1)  # type: ignore[attr-defined]
gauge("g").set(None)  # type: ignore[arg-type]
gauge("g").dec(0.5)
summary("s").record()  # type: ignore[call-arg]
with timed("block") as block:
    assert_type(block.elapsed, float)
    block.set(kind="page")
with counter("c") as entered, gauge("g"), context(tenant="acme"):
    assert_type(entered, Counter)


async def blocks() -> None:
    async with timed("block") as block, counter("c"), gauge("g"):
        assert_type(block.elapsed, float)


# -- application ---------------------------------------------------------------------


class KeyPrinter:
    def export(self, batch: Batch, timeout: float) -> ExportResult:
        return ExportResult(Outcome.ANSWERED, reason=f"{batch.points} in {timeout}")

    def close(self) -> None:
        pass

    def reset_after_fork(self) -> None:
        pass


configure(exporter=KeyPrinter(), interval=None)
configure(exporter=ConsoleExporter(), level="WARNING", levels={"shop": 15})
configure(exporter=MemoryExporter(), delivery="at_most_once", interval=10)
configure(token=Path("token").read_text, proxy=False, client_cert=Path("c.pem"))
configure(token_file=Path("token"), proxy="http://proxy.example", key_password="x")
configure(exporters=[KeyPrinter(), DynatraceExporter(endpoint="https://x", token="t")])
configure(exporters=(ConsoleExporter(), MemoryExporter()), force=True)
configure(exporters=["console"])  # type: ignore[list-item]
DynatraceExporter("https://x")  # type: ignore[call-arg]
sent: int = stats().exporters["ConsoleExporter"].accepted
configure(exporter=MemoryExporter)  # type: ignore[arg-type]
configure(token=b"x")  # type: ignore[arg-type]
configure(proxy=True)  # type: ignore[arg-type]
configure(exporter="console")  # type: ignore[arg-type]
configure(delivery="maybe")  # type: ignore[arg-type]
configure(level="LOUD")  # type: ignore[arg-type]
configure(levels={"shop": "LOUD"})  # type: ignore[dict-item]
configure(interval="10")  # type: ignore[arg-type]
configure(intervall=10)  # type: ignore[call-arg]
configure("https://abc12345.live.dynatrace.com")  # type: ignore[call-arg]

dict_config({"interval": 10, "levels": {"shop": "DEBUG"}}, force=True)
dict_config({1: 2})  # type: ignore[dict-item]
dict_config("shop.toml")  # type: ignore[arg-type]
file_config("shop.toml")
file_config(Path("shop.toml"), force=True)
file_config({"interval": 10})  # type: ignore[arg-type]
assert_type(flush(timeout=1), bool)
assert_type(shutdown(), bool)
shutdown(timeout="1")  # type: ignore[arg-type]
install_signal_handlers(timeout=1.5)
version: str = dtmetrics.__version__
dtmetrics.couter("c")  # type: ignore[attr-defined]
assert_type(ConfigError(["a"]).problems, tuple[str, ...])
assert_type(MemoryExporter().lines, list[str])

# -- integrations --------------------------------------------------------------------


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    return []


Messages = Callable[[], Awaitable[Any]]


async def asgi_app(scope: Any, receive: Messages, send: Any) -> None:
    pass


wsgi.MetricsMiddleware(wsgi_app, exclude="/health", meter=get_meter())
wsgi.MetricsMiddleware(wsgi_app, exclude=1)  # type: ignore[arg-type]
wsgi.MetricsMiddleware(wsgi_app, excluded="/health")  # type: ignore[call-arg]
wsgi.MetricsMiddleware(wsgi_app, websockets=True)  # type: ignore[call-arg]
asgi.MetricsMiddleware(asgi_app, websockets=True, known_methods=["GET", "BREW"])
asgi.MetricsMiddleware(asgi_app, dimensions=lambda scope: {"host": scope["host"]})
asgi.MetricsMiddleware(asgi_app, dimensions={"a": 1})  # type: ignore[arg-type]
asgi.MetricsMiddleware(asgi_app, meter="web")  # type: ignore[arg-type]
asgi.set_route({"type": "http"}, "/items/{number}")
wsgi.set_route({}, 7)  # type: ignore[arg-type]
starlette.Metrics(Starlette(), meter=get_meter(), websockets=True)
starlette.Metrics(Starlette(), excluded="/health")  # type: ignore[call-arg]
starlette.Metrics(Starlette(), exclude=1)  # type: ignore[arg-type]
instrument_httpx(body_sizes=True)
instrument_httpx(body_size=True)  # type: ignore[call-arg]


@handler
def plain(event: dict[str, Any], context: object) -> int:
    return 3


@handler(trigger="http", timeout=1.0)
def optional(event: dict[str, Any], context: object) -> int:
    return 3


@invocation("orders", remaining=lambda: 3.0)
async def invoked(number: int) -> str:
    return str(number)


assert_type(plain({}, None), int)
assert_type(optional({}, None), int)
plain()  # type: ignore[call-arg]
handler(triggers="http")  # type: ignore[call-overload]
wrong = invoked("1")  # type: ignore[arg-type]
invocation(remaining=3.0)  # type: ignore[arg-type]

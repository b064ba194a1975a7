"""What instrumentation adds to an application's outgoing requests and statements.

Each library answers from memory, because a network would cost more than all that is
compared: httpx and requests in the method that is wrapped, SQLAlchemy by SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.instrumented import BARE, OTEL, provider, recording
from benchmarks.measure import Size, Statement, least_of_statements
from benchmarks.part import Result
from benchmarks.peers import OURS, version_of
from benchmarks.table import Table

__all__ = ["NAMES", "measure"]

#: The names of the rows.
NAMES = {
    "httpx": "a request of httpx",
    "requests": "a request of requests",
    "sqlalchemy": "a statement of SQLAlchemy",
}

NOTE = "The added time. Of SQLAlchemy's, 3 µs are its own for having listeners."

Call = Callable[[], object]


def measure(size: Size) -> Result:
    """Return the time added to each, in microseconds."""
    left_out: dict[str, str] = {}
    rows: dict[str, dict[str, float]] = {}
    with recording():
        for key, name in NAMES.items():
            try:
                took = _took(key, size.rounds, left_out)
            except ImportError as error:
                left_out[name] = str(error)
                continue
            bare = took.pop(BARE)
            rows[name] = {peer: (each - bare) / 1e3 for peer, each in took.items()}
    table = Table("outbound", "outgoing requests and statements", "µs", rows, NOTE)
    packages = [*NAMES, *(f"opentelemetry-instrumentation-{key}" for key in NAMES)]
    return Result([table], {n: f"{n} {version_of(n)}" for n in packages}, left_out)


def _took(key: str, rounds: int, left_out: dict[str, str]) -> dict[str, float]:
    """Return the time of one call with each peer, in nanoseconds."""
    calls: dict[str, Call] = {}
    for peer, how in {BARE: None, OURS: _OURS[key], OTEL: _OTEL[key]}.items():
        try:
            calls[peer] = _MAKE[key](how)
        except ImportError as error:  # noqa: PERF203 -- three times
            if peer == BARE:
                raise
            left_out[f"{peer}, {NAMES[key]}"] = str(error)
    return least_of_statements(
        {peer: Statement("call()", {"call": call}) for peer, call in calls.items()},
        rounds,
    )


# -- requests and statements ---------------------------------------------------------

How = Callable[[Any], None] | None


def _httpx(how: How) -> Call:
    import httpx

    answer = httpx.Response(200, extensions={"http_version": b"HTTP/1.1"})
    with _answering(httpx.HTTPTransport, "handle_request", answer):
        if how is not None:
            how(None)
        # Bound to the present method: the peers are timed in turns.
        ask = httpx.HTTPTransport().handle_request
    request = httpx.Request("GET", "http://stock.example/items/7?fresh=1")
    return lambda: ask(request)


def _requests(how: How) -> Call:
    import requests
    from requests.adapters import HTTPAdapter

    request = requests.Request("GET", "http://stock.example/items/7?fresh=1").prepare()
    answer = requests.Response()
    answer.status_code, answer.url, answer._content = 200, str(request.url), b""
    answer.request, answer.raw = request, _Raw()
    session = requests.Session()
    session.trust_env = False  # 90 us
    with (
        _answering(HTTPAdapter, "send", answer),
        _restored(requests.Session, "send"),
    ):
        if how is not None:
            how(None)
        adapter: Any = HTTPAdapter()
        adapter.send = adapter.send
        session.mount("http://", adapter)
        ask = session.send
    return lambda: ask(request)


class _Raw:
    version = 11  # the only attribute that is read


def _sqlalchemy(how: How) -> Call:
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://")
    if how is not None:
        how(engine)
    connection, statement = engine.connect(), sqlalchemy.text("SELECT 1")
    return lambda: connection.execute(statement)


@contextmanager
def _answering(owner: type, name: str, answer: object) -> Iterator[None]:
    """Let a method return *answer*; restore it afterwards."""

    def method(*_: object, **__: object) -> object:
        return answer

    with _restored(owner, name):
        setattr(owner, name, method)
        yield


@contextmanager
def _restored(owner: type, name: str) -> Iterator[None]:
    original = vars(owner)[name]
    try:
        yield
    finally:
        setattr(owner, name, original)


_MAKE = {"httpx": _httpx, "requests": _requests, "sqlalchemy": _sqlalchemy}


# -- instrumentations ----------------------------------------------------------------


def _ours_httpx(_: object) -> None:
    from dtmetrics.integrations.httpx import instrument_httpx

    instrument_httpx()


def _ours_requests(_: object) -> None:
    from dtmetrics.integrations.requests import instrument_requests

    instrument_requests()


def _ours_sqlalchemy(engine: Any) -> None:
    from dtmetrics.integrations.sqlalchemy import instrument_sqlalchemy

    instrument_sqlalchemy(engine)


def _otel_httpx(_: object) -> None:
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    HTTPXClientInstrumentor().instrument(meter_provider=provider())


def _otel_requests(_: object) -> None:
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    RequestsInstrumentor().instrument(meter_provider=provider())


def _otel_sqlalchemy(engine: Any) -> None:
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    instrumentor: Any = SQLAlchemyInstrumentor()
    if instrumentor._check_dependency_conflicts() is not None:
        raise ImportError("it does not support this SQLAlchemy")
    instrumentor.instrument(engine=engine, meter_provider=provider())


_OURS = {
    "httpx": _ours_httpx,
    "requests": _ours_requests,
    "sqlalchemy": _ours_sqlalchemy,
}
_OTEL = {
    "httpx": _otel_httpx,
    "requests": _otel_requests,
    "sqlalchemy": _otel_sqlalchemy,
}

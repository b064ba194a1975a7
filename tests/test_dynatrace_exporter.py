from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

import dtmetrics
from dtmetrics._runtime.dynatrace_exporter import CONNECTION_SETTINGS
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import (
    Batch,
    DynatraceExporter,
    Exporter,
    ExportResult,
    Outcome,
)
from tests.support.endpoint import Endpoint
from tests.support.exporter_contract import ExporterContract, a_batch
from tests.support.runtime_calls import inc


class TestContract(ExporterContract):
    """It is an exporter that can be used by itself."""

    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:  # type: ignore[override]
        with Endpoint() as endpoint:
            yield DynatraceExporter(endpoint=endpoint.url)


def test_destination() -> None:
    """Its destination is the host and port of the endpoint."""
    exporter = DynatraceExporter(endpoint="https://abc.example", token="t")
    assert exporter.destination == "abc.example"
    assert (
        repr(exporter)
        == "<DynatraceExporter https://abc.example/api/v2/metrics/ingest>"
    )


def test_inside_another_exporter(runtime: Runtime) -> None:
    """An exporter of the user's own can add something to it."""
    seen: list[int] = []

    class Counting:
        def __init__(self, inner: DynatraceExporter) -> None:
            self.inner = inner

        def export(self, batch: Batch, timeout: float) -> ExportResult:
            seen.append(batch.points)
            return self.inner.export(batch, timeout)

        def close(self) -> None:
            self.inner.close()

        def reset_after_fork(self) -> None:
            self.inner.reset_after_fork()

    with Endpoint() as endpoint:
        exporter = Counting(DynatraceExporter(endpoint=endpoint.url, token="token"))
        runtime.configure(exporter=exporter, interval=None, metadata=False)
        inc(runtime)
        assert runtime.flush()
        assert endpoint.total("orders") == 1
        assert endpoint.requests[0].headers["authorization"] == "Api-Token token"
    assert seen == [1]


def test_as_the_endpoint(runtime: Runtime) -> None:
    """Given alone it is what configure(endpoint=...) makes: it collects on time."""
    with Endpoint() as endpoint:
        runtime.configure(
            exporter=DynatraceExporter(endpoint=endpoint.url), interval=None
        )
        inc(runtime)
        assert runtime.flush()
        assert list(runtime.stats().exporters) == [f"127.0.0.1:{endpoint.port}"]
        delivery = runtime._delivery
        assert delivery is not None
        (destination,) = delivery.destinations
        assert destination.target.environment == endpoint.url
        assert destination.target.spread_seconds == 0.0
        # What waits goes on, as with the endpoint.
        runtime.configure(endpoint=endpoint.url, interval=None, force=True)
        assert runtime._delivery is not None
        assert runtime._delivery.destinations == [destination]


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not given comes from the environment, as in configure()."""
    monkeypatch.setenv("DTMETRICS_ENDPOINT", "https://abc.example")
    monkeypatch.setenv("DTMETRICS_TOKEN", "token")
    monkeypatch.setenv("DTMETRICS_EXPORTER", "console")
    assert DynatraceExporter().destination == "abc.example"


def test_every_setting_of_the_connection() -> None:
    """It takes each setting that configure() documents as one of the destination."""
    text = inspect.getdoc(dtmetrics.configure) or ""
    section = text.partition("Args: Destination")[2].partition("Args: ")[0]
    documented = re.findall(r"^    (\w+) \(", section, re.MULTILINE)
    assert {*documented} - {"exporter", "exporters"} == {*CONNECTION_SETTINGS}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"endpoint": "ftp://x"},
            ConfigError,
            "endpoint must be an http:// or https://",
        ),
        ({"endpoint": "https://x.example"}, ConfigError, "token must be set"),
        ({"interval": 1}, TypeError, "unexpected keyword argument 'interval'"),
        ({"exporter": None}, TypeError, "unexpected keyword argument 'exporter'"),
    ],
)
def test_invalid(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """It raises what configure() raises, for the settings of a destination alone."""
    with pytest.raises(error, match=message):
        DynatraceExporter(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"endpoint": "ftp://x"}, {"interval": 1}, {"ca_file": "/none"}]
)
def test_token_in_no_traceback(arguments: dict[str, Any]) -> None:
    """Its representation and the frames of its errors do not show the token."""
    with pytest.raises((ConfigError, TypeError)) as caught:
        DynatraceExporter(token="CAN" + "ARY", **arguments)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    for frame in list(shown.stack)[1:]:  # the first is this test
        assert "CANARY" not in str(frame.locals)
    exporter = DynatraceExporter(endpoint="https://abc.example", token="CAN" + "ARY")
    assert "CANARY" not in f"{exporter!r} {vars(exporter)}"


def test_result_of_a_batch() -> None:
    """A batch is answered as by the endpoint itself."""
    with Endpoint() as endpoint:
        exporter = DynatraceExporter(endpoint=endpoint.url)
        exporter.reset_after_fork()
        exporter.close()
        assert exporter.export(a_batch(), 5.0).rejected == 0
        exporter.close()


def test_fork() -> None:
    """A forked child posts over a connection of its own."""
    with Endpoint() as endpoint:
        exporter = DynatraceExporter(endpoint=endpoint.url)
        exporter.reset_after_fork()  # before it has posted, there is none
        for _ in range(2):
            assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
            exporter.reset_after_fork()
        exporter.close()
    assert [request.connection for request in endpoint.requests] == [1, 2]

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import httpx
import pytest

from dtmetrics._core.suppress_instrumentation import (
    SUPPRESSED,
    suppress_instrumentation,
)
from dtmetrics._runtime.runtime import Runtime
from tests.support.endpoint import PATIENCE, Endpoint, accept
from tests.support.runtime_calls import inc


def test_suppressed() -> None:
    """The call runs with SUPPRESSED set, and without the caller's context."""
    request: ContextVar[str] = ContextVar("request", default="none")
    request.set("the first")
    assert suppress_instrumentation(
        lambda *args: (args, SUPPRESSED.get(), request.get()), 1, 2
    ) == (
        (1, 2),
        True,
        "none",
    )
    with pytest.raises(ZeroDivisionError):
        suppress_instrumentation(lambda: 1 / 0)
    assert not SUPPRESSED.get()
    assert request.get() == "the first"


def test_opentelemetry(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's instrumentations are suppressed during an export, and only then."""
    utils: Any = pytest.importorskip("opentelemetry.instrumentation.utils")
    trace = pytest.importorskip("opentelemetry.trace")
    suppressed: list[bool] = []
    handle = httpx.HTTPTransport.handle_request

    def instrumented(self: httpx.HTTPTransport, request: httpx.Request) -> Any:
        suppressed.append(not utils.is_http_instrumentation_enabled())
        suppressed.append(not utils.is_instrumentation_enabled())
        suppressed.append(trace.get_current_span() is trace.INVALID_SPAN)
        return handle(self, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", instrumented)
    for interval in None, 0.01:
        with Endpoint() as endpoint:
            runtime.configure(endpoint=endpoint.url, interval=interval, force=True)
            span = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))
            with trace.use_span(span):
                inc(runtime)
                assert interval or runtime.flush()
                endpoint.wait_until(lambda: bool(endpoint.requests))
                assert utils.is_http_instrumentation_enabled()
                assert trace.get_current_span() is span
            runtime.shutdown()
    assert suppressed
    assert all(suppressed)


def broken(*_: object) -> Any:
    """Raise."""
    raise LookupError


@pytest.mark.parametrize(
    "parts",
    [
        {},  # another thread is importing it
        {"get_current": broken},
        {"get_current": dict, "set_value": broken},
        {"get_current": dict, "set_value": lambda *_: {}, "attach": broken},
        {
            "get_current": dict,
            "set_value": lambda *_: {},
            "attach": id,
            "detach": broken,
        },
    ],
)
def test_broken_opentelemetry(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ``opentelemetry.context`` that lacks functions or raises is ignored."""
    module = ModuleType("opentelemetry.context")
    vars(module).update(parts)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", module)
    assert suppress_instrumentation(SUPPRESSED.get)


def test_observed_while_exporting(runtime: Runtime) -> None:
    """Observers that run while a response is awaited are instrumented."""
    answer_now, observed = threading.Event(), threading.Event()
    exporting: list[bool] = []

    @runtime.meters.root.observe("pool.size")
    def size() -> float:
        exporting.append(SUPPRESSED.get())
        if len(exporting) > 2:
            observed.set()
        return 1

    with Endpoint(accept(until=answer_now)) as endpoint:
        runtime.configure(endpoint=endpoint.url, interval=0.02)
        inc(runtime)
        assert observed.wait(PATIENCE)
        answer_now.set()
        assert runtime.shutdown()
    assert not any(exporting)

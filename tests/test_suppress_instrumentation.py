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
from dtmetrics._runtime.runtime import Process
from tests.support.endpoint import PATIENCE, Endpoint, accept
from tests.support.process_messages import inc


def test_unmeasured() -> None:
    """What is called knows that it exports, and nothing of the request around it."""
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


def test_opentelemetry(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its instrumentations are told to be silent wherever we post, and nowhere else."""
    utils: Any = pytest.importorskip("opentelemetry.instrumentation.utils")
    trace = pytest.importorskip("opentelemetry.trace")
    silent: list[bool] = []
    handle = httpx.HTTPTransport.handle_request

    def instrumented(self: httpx.HTTPTransport, request: httpx.Request) -> Any:
        silent.append(not utils.is_http_instrumentation_enabled())
        silent.append(not utils.is_instrumentation_enabled())
        silent.append(trace.get_current_span() is trace.INVALID_SPAN)
        return handle(self, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", instrumented)
    for interval in None, 0.01:
        with Endpoint() as endpoint:
            process.configure(endpoint=endpoint.url, interval=interval, force=True)
            span = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))
            with trace.use_span(span):
                inc(process)
                assert interval or process.flush()
                endpoint.wait_until(lambda: bool(endpoint.requests))
                assert utils.is_http_instrumentation_enabled()
                assert trace.get_current_span() is span
            process.shutdown()
    assert silent
    assert all(silent)


def broken(*_: object) -> Any:
    """Fail."""
    raise LookupError


@pytest.mark.parametrize(
    "parts",
    [
        {},  # it is just being imported, by another thread
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
def test_opentelemetry_of_another_kind(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is, and however it fails, nothing of that reaches us."""
    module = ModuleType("opentelemetry.context")
    vars(module).update(parts)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", module)
    assert suppress_instrumentation(SUPPRESSED.get)


def test_observed_while_exporting(process: Process) -> None:
    """Who is asked while an answer is waited for asks on his own account."""
    answered, asked = threading.Event(), threading.Event()
    exporting: list[bool] = []

    @process.meters.root.observe("pool.size")
    def size() -> float:
        exporting.append(SUPPRESSED.get())
        if len(exporting) > 2:
            asked.set()
        return 1

    with Endpoint(accept(until=answered)) as endpoint:
        process.configure(endpoint=endpoint.url, interval=0.02)
        inc(process)
        assert asked.wait(PATIENCE)
        answered.set()
        assert process.shutdown()
    assert not any(exporting)

"""Puts dtmetrics around every application of a framework, in the process of its tests."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unittest import mock

import dtmetrics

__all__ = ["recorded", "wrap_applications"]

#: Every option, so that all of the integrations runs.
OPTIONS: dict[str, Any] = {
    "active_requests": True,
    "body_sizes": True,
    "dimensions": lambda _, response: {"headers": len(response.headers)},
    "time_to_first_byte": True,
}


def wrap_applications() -> None:
    """Wrap the applications of the framework that the environment names, if any."""
    name = os.environ["SUITE_WRAPS"]
    if name:
        dtmetrics.configure(
            exporter=dtmetrics.MemoryExporter(),
            interval=None,
            enrich=False,
            announce=False,
        )
        _WRAPPERS[name]()


_COUNTS: list[int] = []


def recorded() -> int:
    """Return how many requests and connections were recorded."""
    return sum(_COUNTS)


def _count_requests() -> None:
    from dtmetrics._instrument.http_server import ServerInstruments

    record = ServerInstruments.record

    @functools.wraps(record)
    def counting(*arguments: Any) -> None:
        _COUNTS.append(1)
        record(*arguments)

    ServerInstruments.record = counting  # type: ignore[method-assign]


def _starlette() -> None:
    from dtmetrics.integrations.asgi import MetricsMiddleware

    wrap = functools.partial(MetricsMiddleware, websockets=True, **OPTIONS)
    client = import_module("starlette.testclient")
    _wrap_argument(client._TestClientTransport, wrap)
    for library in ("httpx", "httpx2"):
        if find_spec(library):
            _wrap_argument(import_module(library).ASGITransport, wrap)
    _count_requests()


def _wrap_argument(kind: Any, wrap: Callable[[Any], Any]) -> None:
    """Wrap the application that each object of *kind* is made with."""
    make = kind.__init__

    @functools.wraps(make)
    def __init__(self: Any, app: Any, *arguments: Any, **options: Any) -> None:  # noqa: N807 -- it becomes one
        make(self, wrap(app), *arguments, **options)

    kind.__init__ = __init__


def _flask() -> None:
    from dtmetrics.integrations.flask import Metrics

    flask = import_module("flask").Flask
    make = flask.__init__

    @functools.wraps(make)
    def __init__(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: N807 -- it becomes one
        make(self, *arguments, **options)
        Metrics(self, **OPTIONS)

    flask.__init__ = __init__
    _count_requests()


def _django() -> None:
    base = import_module("django.core.handlers.base")
    load = base.BaseHandler.load_middleware
    ours = "dtmetrics.integrations.django.MetricsMiddleware"

    class Settings:
        """Django's settings, with one middleware more."""

        def __init__(self, settings: Any) -> None:
            self._settings = settings

        def __getattr__(self, name: str) -> Any:
            value = getattr(self._settings, name)
            return [ours, *value] if name == "MIDDLEWARE" else value

    @functools.wraps(load)
    def load_middleware(self: Any, *arguments: Any, **options: Any) -> None:
        with mock.patch.object(base, "settings", Settings(base.settings)):
            load(self, *arguments, **options)

    base.BaseHandler.load_middleware = load_middleware
    options = {**OPTIONS, "request_dimensions": OPTIONS["dimensions"]}
    del options["dimensions"]
    # Not in the settings: tests compare or replace these.
    middleware = import_module("dtmetrics.integrations.django.middleware")
    middleware.settings_dict = lambda: options  # type: ignore[attr-defined]
    _count_requests()


_WRAPPERS = {
    "starlette": _starlette,
    "fastapi": _starlette,
    "flask": _flask,
    "django": _django,
}

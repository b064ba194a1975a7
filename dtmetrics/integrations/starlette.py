"""Metrics of a Starlette application.

>>> from starlette.applications import Starlette
>>> from dtmetrics.integrations.starlette import Metrics
>>> app = Starlette()
>>> metrics = Metrics(app)
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any
from weakref import WeakMethod

from starlette.applications import Starlette

from dtmetrics.integrations.asgi import Application, MetricsMiddleware

__all__ = ["Metrics", "instrument"]


class Metrics(MetricsMiddleware):
    """Records each request to *app*, around all of its middlewares and handlers.

    The recorded status is the one that the client gets, also from an exception handler
    for ``Exception``: Starlette calls that one outside of every middleware that
    ``add_middleware()`` adds. Call it before or after routes and middlewares are added;
    a second call for the same application does nothing.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The response is passed on unchanged.

    Args:
        app (Starlette): The application.
        exclude (str | re.Pattern | Iterable): Paths or routes that are not recorded: a
            text, in which ``*`` matches anything, a compiled expression, which is
            searched for, or several of these. Default: none. Example:
            ``exclude=["/health", "/static/*"]``.
        dimensions (Callable | None): Called with the scope when the response was
            sent; returns a mapping of further dimensions. If it takes a second
            argument, that is a `dtmetrics.integrations.Response`, with ``status`` and
            ``headers``. Default: none. Example:
            ``dimensions=lambda scope: {"host": scope["server"][0]}``.
        active_requests (bool): Add the gauge ``http.server.active_requests``, of each
            worker if there are several. Default: False.
        body_sizes (bool): Add ``http.server.request.body.size`` and
            ``http.server.response.body.size``, in bytes. Default: False.
        time_to_first_byte (bool): Add ``http.server.time_to_first_byte``, in seconds.
            Default: False.
        websockets (bool): Add ``websocket.server.connection.duration``, in seconds.
            Default: False.
        known_methods (Iterable[str] | None): The methods that are recorded by name; all
            others are ``_OTHER``. Default: those of the environment variable
            ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`` (separated by commas), or else
            OpenTelemetry's ten.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.starlette")``.

    Raises:
        TypeError: *app* is not a Starlette, or an option has the wrong type.

    >>> from starlette.applications import Starlette
    >>> from dtmetrics.integrations.starlette import Metrics
    >>> app = Starlette()
    >>> metrics = Metrics(app, exclude="/health")
    """

    _METER = __name__
    _KIND: type[Starlette] = Starlette

    def _attach(self, app: Any) -> None:  # noqa: ANN401 -- checked here
        if not isinstance(app, self._KIND):
            raise TypeError(f"app must be a {self._KIND.__name__}, got {app!r}")
        built: Any = app
        if isinstance(built.build_middleware_stack, _StackBuilder):
            return
        builder = _StackBuilder(built, copy(self))
        built.build_middleware_stack = builder
        if built.middleware_stack is not None:  # the application has started
            built.middleware_stack = builder.around(built.middleware_stack)


class _StackBuilder:
    """Builds the middlewares of an application, with *metrics* around them.

    It holds no application: the application holds it, and the cycle would be freed by
    the garbage collector alone.
    """

    def __init__(self, app: Any, metrics: Metrics) -> None:  # noqa: ANN401 -- of many versions
        build = app.build_middleware_stack
        # Another instrumentation may have replaced the method, which then stays.
        is_replaced = "build_middleware_stack" in vars(app)
        self._build: Callable[[], Any] = (
            (lambda: build) if is_replaced else WeakMethod(build)
        )
        self._metrics = metrics
        del metrics.app

    def __call__(self) -> Metrics:
        """Return the middlewares, as Starlette's own method does."""
        return self.around(self._build()())

    def around(self, stack: Application) -> Metrics:
        """Return the middleware that records, around *stack*."""
        self._metrics.app = stack
        return self._metrics


#: ``instrument(app, ...)`` is ``Metrics(app, ...)``, for code that reads better so.
instrument = Metrics

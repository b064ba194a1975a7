"""Metrics of a Litestar application.

>>> from litestar import Litestar
>>> from dtmetrics.integrations.litestar import Metrics
>>> app = Litestar([], logging_config=None)
>>> metrics = Metrics(app)
"""

from __future__ import annotations

from copy import copy
from typing import Any

from litestar import Litestar

from dtmetrics._instrument.server_request import set_error
from dtmetrics.integrations.asgi import MetricsMiddleware

__all__ = ["Metrics", "instrument"]


class Metrics(MetricsMiddleware):
    """Records each request to *app*, around all of its middlewares and handlers.

    The recorded status is the one that the client gets: Litestar makes a response of an
    exception outside of the middlewares in ``middleware=``, and does not call those for
    a path without a route. A second call for the same application does nothing.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The response is passed on unchanged.

    Args:
        app (Litestar): The application.
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
            ``get_meter("dtmetrics.integrations.litestar")``.

    Raises:
        TypeError: *app* is not a Litestar, or an option has the wrong type.

    >>> from litestar import Litestar
    >>> from dtmetrics.integrations.litestar import Metrics
    >>> app = Litestar([], logging_config=None)
    >>> metrics = Metrics(app, exclude="/health")
    """

    _METER = __name__

    def _attach(self, app: Any) -> None:  # noqa: ANN401 -- checked here
        if not isinstance(app, Litestar):
            raise TypeError(f"app must be a Litestar, got {app!r}")
        whole: Any = app
        if isinstance(whole.asgi_handler, Metrics):
            return
        inside = copy(self)
        inside.app = whole.asgi_handler
        whole.asgi_handler = inside
        # Litestar answers the exceptions of handlers and middlewares.
        whole.after_exception.append(_set_error)


async def _set_error(error: Exception, scope: Any) -> None:  # noqa: ANN401 -- Litestar's
    set_error(scope, error)


#: ``instrument(app, ...)`` is ``Metrics(app, ...)``, for code that reads better so.
instrument = Metrics

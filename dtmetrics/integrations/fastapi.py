"""Metrics of a FastAPI application.

>>> from fastapi import FastAPI
>>> from dtmetrics.integrations.fastapi import Metrics
>>> app = FastAPI()
>>> metrics = Metrics(app)
"""

from __future__ import annotations

from fastapi import FastAPI

from dtmetrics.integrations import starlette

__all__ = ["Metrics", "instrument"]


class Metrics(starlette.Metrics):
    """Records each request to *app*, around all of its middlewares and handlers.

    The recorded status is the one that the client gets, also from
    ``@app.exception_handler(Exception)``: FastAPI calls that one outside of every
    middleware that ``add_middleware()`` adds. Call it before or after routes, routers
    and middlewares are added; a second call for the same application does nothing.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The response is passed on unchanged.

    Args:
        app (FastAPI): The application.
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
            ``get_meter("dtmetrics.integrations.fastapi")``.

    Raises:
        TypeError: *app* is not a FastAPI, or an option has the wrong type.

    >>> from fastapi import FastAPI
    >>> from dtmetrics.integrations.fastapi import Metrics
    >>> app = FastAPI()
    >>> metrics = Metrics(app, exclude="/health")
    """

    _METER = __name__
    _KIND = FastAPI


#: ``instrument(app, ...)`` is ``Metrics(app, ...)``, for code that reads better so.
instrument = Metrics

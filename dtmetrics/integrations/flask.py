"""Metrics of a Flask application.

>>> from flask import Flask
>>> from dtmetrics.integrations.flask import Metrics
>>> app = Flask("shop")
>>> metrics = Metrics(app)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Request, got_request_exception, request, request_tearing_down

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.http_server import ERROR, ROUTE, Pattern
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.wsgi import MetricsMiddleware

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["Metrics"]

_DIMENSIONS = "dtmetrics.dimensions"


class Metrics:
    """Records each request to *app*, with the rule by which Flask found the view.

    Write ``Metrics(app)``, or in a factory ``metrics = Metrics()`` and
    ``metrics.init_app(app)``.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The duration ends with the last byte of the response.

    Args:
        app (Flask | None): The application. Default: none yet, see ``init_app()``.
        exclude (str | re.Pattern | Iterable): Paths or routes that are not recorded: a
            text, in which ``*`` matches anything, a compiled expression, which is
            searched for, or several of these. Default: none. Example:
            ``exclude=["/health", "/static/*"]``.
        dimensions (Callable | None): Called with Flask's request at the end of its
            context; returns a mapping of further dimensions. Default: none. Example:
            ``dimensions=lambda request: {"blueprint": request.blueprint}``.
        active_requests (bool): Add the gauge ``http.server.active_requests``, whose
            dimension ``dtmetrics.worker`` is a small number for each worker. Default:
            False.
        body_sizes (bool): Add ``http.server.request.body.size`` and
            ``http.server.response.body.size``, in bytes. Default: False.
        known_methods (Iterable[str] | None): The methods that are recorded by name; all
            others are ``_OTHER``. Default: those of the environment variable
            ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`` (separated by commas), or else
            OpenTelemetry's ten.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.flask")``.

    Raises:
        TypeError: An option has the wrong type.

    >>> from flask import Flask
    >>> from dtmetrics.integrations.flask import Metrics
    >>> metrics = Metrics(exclude="/health")
    >>> metrics.init_app(Flask("shop"))
    """

    def __init__(  # noqa: PLR0913 -- the options, by keyword
        self,
        app: Flask | None = None,
        *,
        exclude: Pattern | Iterable[Pattern] = (),
        dimensions: Callable[[Request], Mapping[str, object]] | None = None,
        active_requests: bool = False,
        body_sizes: bool = False,
        known_methods: Iterable[str] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._dimensions = dimensions
        self._middleware = partial(
            MetricsMiddleware,
            exclude=exclude,
            dimensions=None if dimensions is None else _dimensions_of_environ,
            active_requests=active_requests,
            body_sizes=body_sizes,
            known_methods=known_methods,
            meter=meter or default.get_meter(__name__),
        )
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Record the requests to *app*; a second call does nothing.

        >>> from flask import Flask
        >>> from dtmetrics.integrations.flask import Metrics
        >>> metrics = Metrics()
        >>> metrics.init_app(Flask("shop"))
        """
        if "dtmetrics" in app.extensions:
            return
        app.extensions["dtmetrics"] = self
        # Around the whole application: Flask's own hooks after a request run before the
        # body of a stream is sent.
        whole: Any = app
        whole.wsgi_app = self._middleware(whole.wsgi_app)
        # Before any other function that might answer; 2 us less than by a signal.
        app.url_value_preprocessors[None].insert(0, _route_setter(app))
        got_request_exception.connect(_set_error, app)
        if self._dimensions is not None:
            request_tearing_down.connect(self._set_dimensions, app)

    def _set_dimensions(self, _app: Flask, **_: object) -> None:
        dimensions: Any = self._dimensions
        request.environ[_DIMENSIONS] = call_safely(dimensions, request, default=None)


def _dimensions_of_environ(environ: Any) -> Mapping[str, object]:  # noqa: ANN401 -- WSGI's environ
    # Where the callable raised there is None: not a mapping, and counted as such.
    return environ.get(_DIMENSIONS, {})  # type: ignore[no-any-return]


def _route_setter(app: Flask) -> Callable[..., None]:
    proxy: Any = request  # each access through it costs

    def set_route(*_: object) -> None:
        current = proxy._get_current_object()  # noqa: SLF001 -- documented by werkzeug
        if current.url_rule is not None:
            # An application may set None: Flask reads it only where it needs it.
            root = str(app.config.get("APPLICATION_ROOT") or "")
            current.environ[ROUTE] = f"{root.rstrip('/')}{current.url_rule.rule}"

    return set_route


def _set_error(_app: Flask, exception: BaseException, **_: object) -> None:
    # Only the type: the exception's traceback holds the environ.
    request.environ[ERROR] = error_type(exception)

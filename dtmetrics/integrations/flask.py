"""Metrics of a Flask application.

>>> from flask import Flask
>>> from dtmetrics.integrations.flask import Metrics
>>> app = Flask("shop")
>>> metrics = Metrics(app)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from flask import (
    got_request_exception,
    request,
    request_finished,
    request_tearing_down,
)

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.http_server import Pattern
from dtmetrics._instrument.server_request import INSTRUMENTED, set_error, set_route
from dtmetrics._instrument.users_dimensions import Dimensions, UsersDimensions
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.wsgi import MetricsMiddleware

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["Metrics", "instrument"]

_DIMENSIONS = "dtmetrics.dimensions"
_RESPOND = "dtmetrics.respond"  # a key of an application's extensions


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
        dimensions (Callable | None): Called with Flask's request, in its context, when
            the response is made; returns a mapping of further dimensions. If it takes a
            second argument, that is a `dtmetrics.integrations.Response`, with
            ``status`` and ``headers``. Default: none. Example:
            ``dimensions=lambda request: {"blueprint": request.blueprint}``.
        active_requests (bool): Add the gauge ``http.server.active_requests``, of each
            worker if there are several. Default: False.
        body_sizes (bool): Add ``http.server.request.body.size`` and
            ``http.server.response.body.size``, in bytes. Default: False.
        known_methods (Iterable[str] | None): The methods that are recorded by name; all
            others are ``_OTHER``. Default: those of the environment variable
            ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`` (separated by commas), or else
            OpenTelemetry's ten.
        time_to_first_byte (bool): Add ``http.server.time_to_first_byte``, in seconds.
            Default: False.
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
        dimensions: Dimensions | None = None,
        active_requests: bool = False,
        body_sizes: bool = False,
        known_methods: Iterable[str] | None = None,
        time_to_first_byte: bool = False,
        meter: Meter | None = None,
    ) -> None:
        self._users = None if dimensions is None else UsersDimensions(dimensions)
        no_app: Any = None  # each call names its application
        middleware = MetricsMiddleware(
            no_app,
            exclude=exclude,
            dimensions=None if dimensions is None else _dimensions_of_source,
            active_requests=active_requests,
            body_sizes=body_sizes,
            known_methods=known_methods,
            time_to_first_byte=time_to_first_byte,
            meter=meter or default.get_meter(__name__),
        )
        self._respond = middleware._respond  # noqa: SLF001 -- of the same package
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
        if "wsgi_app" in vars(app):  # a middleware, which holds the application anyway
            whole.wsgi_app = partial(self._respond, whole.wsgi_app)
        else:
            _measure_class(type(app))
            app.extensions[_RESPOND] = self._respond
        # Before any other function that might answer; 2 us less than by a signal.
        app.url_value_preprocessors[None].insert(0, _route_setter(app))
        got_request_exception.connect(_set_error, app)
        if self._users is not None:
            request_finished.connect(self._set_dimensions, app)
            request_tearing_down.connect(self._set_dimensions_of_failed, app)

    def _set_dimensions(
        self,
        _app: Flask,
        response: Any = None,  # noqa: ANN401 -- of any class
        **_: object,
    ) -> None:
        begun = request.environ.get(INSTRUMENTED)
        if begun is not None:
            status = getattr(response, "status_code", None)
            headers = getattr(response, "headers", None)
            users: Any = self._users
            found = call_safely(users, request, status, headers, default=None)
            begun.source = {_DIMENSIONS: found}

    def _set_dimensions_of_failed(
        self, app: Flask, exc: BaseException | None = None, **_: object
    ) -> None:
        # Contexts that an application copied into threads are torn down as well: so
        # only where no response can come, because Flask raises the exception.
        begun = request.environ.get(INSTRUMENTED)
        if begun is not None and _DIMENSIONS not in begun.source:
            fatal = exc is not None and not isinstance(exc, Exception)
            if fatal or begun.error is not None:
                self._set_dimensions(app)


def _measure_class(kind: Any) -> None:  # noqa: ANN401 -- a class whose method is replaced
    """Have ``wsgi_app`` pass through the middleware of each application of a class.

    As an attribute of the application, a middleware would hold the application that
    holds it: a cycle, which only the garbage collector frees. Flask's own method can
    also be the only reference to an application, so that a weak one does not do.
    """
    plain = kind.wsgi_app
    if hasattr(plain, "is_dtmetrics"):
        return

    @wraps(plain)
    def wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:  # noqa: ANN401 -- as in Flask
        respond = self.extensions.get(_RESPOND)
        if respond is None:
            return plain(self, environ, start_response)
        return respond(plain.__get__(self), environ, start_response)

    wsgi_app.is_dtmetrics = True  # type: ignore[attr-defined]
    kind.wsgi_app = wsgi_app


def _dimensions_of_source(source: Any) -> Mapping[str, object]:  # noqa: ANN401 -- WSGI's environ at first
    # Where the callable raised there is None: not a mapping, and counted as such.
    return source.get(_DIMENSIONS, {})  # type: ignore[no-any-return]


def _route_setter(app: Flask) -> Callable[..., None]:
    proxy: Any = request  # each access through it costs
    config = app.config  # not the application: a reference would make a cycle

    def set_rule(*_: object) -> None:
        current = proxy._get_current_object()  # noqa: SLF001 -- documented by werkzeug
        if current.url_rule is not None:
            # An application may set None: Flask reads it only where it needs it.
            root = str(config.get("APPLICATION_ROOT") or "")
            set_route(current.environ, f"{root.rstrip('/')}{current.url_rule.rule}")

    return set_rule


def _set_error(_app: Flask, exception: BaseException, **_: object) -> None:
    set_error(request.environ, exception)


#: ``instrument(app, ...)`` is ``Metrics(app, ...)``, for code that reads better so.
instrument = Metrics

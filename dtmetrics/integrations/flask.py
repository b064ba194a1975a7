"""Metrics of a Flask application.

>>> from flask import Flask
>>> from dtmetrics.integrations.flask import Metrics
>>> app = Flask("shop")
>>> metrics = Metrics(app)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import got_request_exception, request, request_tearing_down

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.server import ERROR, ROUTE, error_type
from dtmetrics.integrations.wsgi import MetricsMiddleware

if TYPE_CHECKING:
    from flask import Flask
    from typing_extensions import Unpack

    from dtmetrics._instrument.server import Options

__all__ = ["Metrics"]

_DIMENSIONS = "dtmetrics.dimensions"


class Metrics:
    """Measures each request to *app*, with the route by which Flask found the view.

    ``Metrics(app)``, or ``metrics = Metrics()`` and ``metrics.init_app(app)`` in a
    factory. Options are those of `dtmetrics.integrations.asgi.MetricsMiddleware`;
    ``dimensions=`` is given Flask's request, at the end of its context.
    """

    def __init__(self, app: Flask | None = None, **options: Unpack[Options]) -> None:
        self._options = options
        self._dimensions: Any = options.get("dimensions")
        if self._dimensions is not None:
            self._options["dimensions"] = _noted_dimensions
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """CallHook the requests to *app*; once, however often it is called."""
        if "dtmetrics" in app.extensions:
            return
        app.extensions["dtmetrics"] = self
        # Around all of it: what Flask calls after a request, it calls before the body
        # of a stream was sent.
        whole: Any = app
        whole.wsgi_app = MetricsMiddleware(whole.wsgi_app, **self._options)
        # Before whatever else might answer; 2 us less than by a signal.
        app.url_value_preprocessors[None].insert(0, _noting_routes(app))
        got_request_exception.connect(_note_error, app)
        if self._dimensions is not None:
            request_tearing_down.connect(self._note_dimensions, app)

    def _note_dimensions(self, _app: Flask, **_: Any) -> None:
        request.environ[_DIMENSIONS] = call_safely(
            self._dimensions, request, default=None
        )


def _noted_dimensions(environ: dict[str, Any]) -> Any:
    # None, where it raised, is no mapping, and counted as such.
    return environ.get(_DIMENSIONS, {})


def _noting_routes(app: Flask) -> Callable[..., None]:
    proxy: Any = request  # each look through it costs

    def note(*_: Any) -> None:
        now = proxy._get_current_object()
        if now.url_rule is not None:
            # Flask itself never looks at it before it needs it: it may be None.
            root = str(app.config.get("APPLICATION_ROOT") or "")
            now.environ[ROUTE] = f"{root.rstrip('/')}{now.url_rule.rule}"

    return note


def _note_error(_app: Flask, exception: BaseException, **_: Any) -> None:
    # Its type alone: its traceback holds the environ.
    request.environ[ERROR] = error_type(exception)

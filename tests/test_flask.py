from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.support.recorder import Recorder

flask = pytest.importorskip("flask")
werkzeug_test = pytest.importorskip("werkzeug.test")
metrics = pytest.importorskip("dtmetrics.integrations.flask").Metrics


class Sold(Exception):
    """An exception of a view."""


def shop(recorder: Recorder, **options: Any) -> Any:
    """Return an application, made as in a user's factory."""
    app = flask.Flask("shop")
    made = metrics(meter=recorder.meter, **options)
    made.init_app(app)
    items = flask.Blueprint("items", "items", url_prefix="/items")

    @items.get("/<int:number>")
    def item(number: int) -> str:
        return str(number)

    app.register_blueprint(items, url_prefix="/v1/items")

    @app.get("/sold")
    def sold() -> str:
        raise Sold

    @app.get("/handled")
    def handled() -> str:
        raise KeyError

    app.register_error_handler(KeyError, lambda error: ("gone", 410))

    @app.get("/unavailable")
    def unavailable() -> None:
        flask.abort(503)

    @app.get("/stream")
    def stream() -> Any:
        def pieces() -> Iterator[str]:
            yield "a"
            raise Sold

        return flask.Response(pieces())

    return app


def get(recorder: Recorder, app: Any, path: str, method: str = "GET") -> dict[str, str]:
    """Get *path*; return the dimensions of the request."""
    with app.test_client() as client:
        response = client.open(path, method=method, buffered=False)
        with suppress(Sold):
            for _ in response.response:
                pass
        response.close()
    [(_, pairs)] = recorder.payloads()
    found = dict(pairs)
    keys = ("http.response.status_code", "http.route", "error.type")
    return {key: found[key] for key in keys if key in found}


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/v1/items/7", ["200", "/v1/items/<int:number>"]),
        ("HEAD", "/v1/items/7", ["200", "/v1/items/<int:number>"]),
        ("GET", "/v1/items/x", ["404"]),
        ("POST", "/v1/items/7", ["405"]),
        ("GET", "/wp-admin", ["404"]),
        ("GET", "/sold", ["500", "/sold", "tests.test_flask.Sold"]),
        ("GET", "/handled", ["410", "/handled"]),
        ("GET", "/unavailable", ["503", "/unavailable", "503"]),
        ("GET", "/stream", ["200", "/stream", "tests.test_flask.Sold"]),
        ("GET", "/static/none.css", ["404", "/static/<path:filename>"]),
    ],
)
def test_requests(recorder: Recorder, method: str, path: str, found: list[str]) -> None:
    """A request has the rule of its view, blueprints included, and an exception's type.

    A path without a rule has no route, an exception that the application handles is not
    an error, and one in a stream is an error although the status was sent.
    """
    assert [*get(recorder, shop(recorder), path, method).values()] == found


def test_root(recorder: Recorder) -> None:
    """A route begins with APPLICATION_ROOT."""
    app = shop(recorder)
    app.config["APPLICATION_ROOT"] = "/shop/"
    found = get(recorder, app, "/v1/items/7")
    assert found["http.route"] == "/shop/v1/items/<int:number>"


@pytest.mark.parametrize("root", [None, "", "/"])
def test_no_root(recorder: Recorder, root: str | None) -> None:
    """An application whose APPLICATION_ROOT is empty or None is served."""
    app = shop(recorder)
    app.config["APPLICATION_ROOT"] = root
    environ = werkzeug_test.create_environ("/v1/items/7")  # Flask's client needs one
    _, status, _ = werkzeug_test.run_wsgi_app(app, environ, buffered=True)
    assert status == "200 OK"
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs)["http.route"] == "/v1/items/<int:number>"


def test_answered_before_a_view(recorder: Recorder) -> None:
    """A before_request function that answers does not hide the route."""
    app = shop(recorder)
    app.before_request(lambda: ("busy", 503))
    found = get(recorder, app, "/v1/items/7")
    assert [*found.values()] == ["503", "/v1/items/<int:number>", "503"]


def test_twice(recorder: Recorder) -> None:
    """A second init_app of an application does nothing."""
    app = shop(recorder)
    before = app.wsgi_app
    metrics(app, meter=recorder.meter)
    assert app.wsgi_app is before


def test_exclude(recorder: Recorder) -> None:
    """A rule can be excluded."""
    app = shop(recorder, exclude=["/v1/items/<int:number>"])
    with app.test_client() as client:
        assert client.get("/v1/items/7").data
    assert recorder.payloads() == {}


def test_dimensions(recorder: Recorder) -> None:
    """The dimensions callable gets Flask's request, within its context."""

    def tenant(request: Any) -> dict[str, str]:
        return {"tenant": flask.g.tenant, "host": request.host}

    app = shop(recorder, dimensions=tenant)

    @app.get("/tenant")
    def view() -> Any:
        flask.g.tenant = "acme"
        return flask.Response(iter(["a", "b"]))

    with app.test_client() as client:
        assert client.get("/tenant").data == b"ab"
        [(_, pairs)] = recorder.payloads()
        assert {("tenant", "acme"), ("host", "localhost")} < pairs
        assert client.get("/none").data
    assert recorder.registry.invalid_values.total() == {"dimensions= failed": 1}


def test_other_applications(recorder: Recorder) -> None:
    """Another application of the process is not touched."""
    shop(recorder)
    other = flask.Flask("other")

    @other.get("/")
    def index() -> str:
        assert not [key for key in flask.request.environ if key.startswith("dtm")]
        return "a"

    assert other.test_client().get("/").status_code == 200

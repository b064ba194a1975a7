from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder

flask = pytest.importorskip("flask")
werkzeug_test = pytest.importorskip("werkzeug.test")
metrics = pytest.importorskip("dtmetrics.integrations.flask").Metrics


class Sold(Exception):
    """An exception of a view."""


def shop(recorder: Recorder, *, copies: bool = False, **options: Any) -> Any:
    """Return an application, made as in a user's factory.

    With *copies* it has a middleware that passes on a copy of the environ.
    """
    app = flask.Flask("shop")
    if copies:
        inner = app.wsgi_app
        app.wsgi_app = lambda environ, respond: inner({**environ}, respond)
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
    before = {**vars(app)}
    metrics(app, meter=recorder.meter)
    assert vars(app) == before
    assert get(recorder, app, "/v1/items/7")["http.response.status_code"] == "200"


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


@pytest.fixture
def asked() -> list[Any]:
    """Return a list of what a dimensions callable got."""
    return []


def asking(recorder: Recorder, asked: list[Any], **config: Any) -> Any:
    """Return an application whose dimensions callable adds to *asked*."""

    def dimensions(request: Any, response: Any) -> dict[str, object]:
        asked.append((response.status, response.headers.get("x-cache")))
        return {"tenant": flask.g.get("tenant", "none")}

    app = shop(recorder, dimensions=dimensions)
    app.config.update(config)

    @app.get("/copies")
    def copies() -> Any:
        @flask.copy_current_request_context
        def work(number: int) -> int:
            return 1 // number

        flask.g.tenant = "acme"
        with ThreadPoolExecutor(2) as executor:
            done = [executor.submit(work, number) for number in (0, 1, 2)]
        assert len(done) == 3
        response = flask.make_response("a", {"X-Cache": "hit"})
        response.call_on_close(flask.copy_current_request_context(lambda: None))
        return response

    @app.get("/context")
    def context() -> Any:
        return flask.Response(flask.stream_with_context(iter(["a", "b"])))

    @app.get("/stops")
    def stops() -> None:
        raise Stop

    return app


class Stop(BaseException):
    """An exception that Flask does not handle."""


@pytest.mark.parametrize(
    ("path", "testing", "got"),
    [
        ("/copies", False, (200, "hit")),
        ("/context", False, (200, None)),
        ("/none", False, (404, None)),
        ("/sold", False, (500, None)),
        ("/handled", False, (410, None)),
        ("/sold", True, (None, None)),
        ("/stops", False, (None, None)),
    ],
)
def test_dimensions_once(
    recorder: Recorder, asked: list[Any], path: str, testing: bool, got: Any
) -> None:
    """The dimensions callable is called once for each request, with its response.

    Contexts that the view copied into threads make no further calls. Where Flask raises
    the exception there is no response.
    """
    app = asking(recorder, asked, TESTING=testing)
    with suppress(Sold, Stop), app.test_client() as client:
        response = client.get(path)
        assert response.data
        response.close()
    assert asked == [got]
    [(_, pairs)] = recorder.payloads()
    assert dict(pairs)["tenant"] == ("acme" if path == "/copies" else "none")


def test_dimensions_while_off(recorder: Recorder, asked: list[Any]) -> None:
    """While recording is off the dimensions callable is not called."""
    app = asking(recorder, asked, TESTING=True)
    recorder.registry.stop()
    client = app.test_client()
    assert client.get("/v1/items/7").data == b"7"
    with pytest.raises(Sold):
        client.get("/sold")
    assert asked == []


def test_time_to_first_byte(recorder: Recorder) -> None:
    """The option adds the time to the first byte."""
    app = shop(recorder, time_to_first_byte=True)
    assert app.test_client().get("/v1/items/7").data == b"7"
    keys = sorted(key for key, _ in recorder.payloads())
    assert keys == ["http.server.request.duration", "http.server.time_to_first_byte"]


@pytest.mark.parametrize("path", ["/v1/items/7", "/sold", "/none"])
def test_a_copy_of_the_environ(recorder: Recorder, path: str) -> None:
    """Route, exception and dimensions pass a middleware that copies the environ."""
    found = []
    for copies in (False, True):
        app = shop(recorder, copies=copies, dimensions=lambda request: {"at": path})
        with app.test_client() as client:
            client.get(path).close()
        [(_, pairs)] = recorder.payloads()
        assert dict(pairs)["at"] == path
        found.append(pairs)
    assert found[0] == found[1]


@pytest.mark.parametrize("asked", [False, True])
def test_freed_at_once(recorder: Recorder, *, asked: bool) -> None:
    """An application is freed without the garbage collector, as Flask promises."""

    def made() -> weakref.ref[Any]:
        app = flask.Flask("shop")
        metrics(app, meter=recorder.meter, dimensions=lambda request: {"a": "b"})
        app.add_url_rule("/", view_func=lambda: "a")
        if asked:
            environ = werkzeug_test.create_environ("/")
            werkzeug_test.run_wsgi_app(app, environ, buffered=True)
        return weakref.ref(app)

    with no_collector():
        freed = made()
        assert freed() is None
    assert len(recorder.payloads()) == asked


def test_the_only_reference(recorder: Recorder) -> None:
    """``wsgi_app`` holds the application: a server may have no other reference to it."""
    respond = shop(recorder).wsgi_app
    gc.collect()
    environ = werkzeug_test.create_environ("/v1/items/7")
    assert werkzeug_test.run_wsgi_app(respond, environ)[1] == "200 OK"
    assert len(recorder.payloads()) == 1


@pytest.mark.parametrize("recording", [True, False])
def test_classes_that_call_each_other(recorder: Recorder, *, recording: bool) -> None:
    """A class whose wsgi_app calls that of Flask is recorded once, in any order."""
    before: list[str] = []

    class Own(flask.Flask):  # type: ignore[name-defined, misc, unused-ignore]
        def wsgi_app(self, environ: Any, start_response: Any) -> Any:
            before.append(environ["PATH_INFO"])
            return super().wsgi_app(environ, start_response)

    if not recording:
        recorder.registry.stop()
    for kinds in ([Own, flask.Flask, Own], [flask.Flask, Own]):
        for kind in kinds:
            app = kind("shop")
            metrics(app, meter=recorder.meter)
            app.test_client().get("/none").close()
    counts = [each.count for each in recorder.payloads().values()]  # type: ignore[union-attr]
    assert counts == ([5] if recording else [])
    assert before == ["/none"] * 3


def test_other_applications(recorder: Recorder) -> None:
    """Another application of the process is not touched."""
    shop(recorder)
    other = flask.Flask("other")

    @other.get("/")
    def index() -> str:
        assert not [key for key in flask.request.environ if key.startswith("dtm")]
        return "a"

    assert other.test_client().get("/").status_code == 200

"""Metrics of Starlette and FastAPI. `.ci/run` also runs this with old versions."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics.integrations.asgi import MetricsMiddleware
from tests.support.asgi_requests import ask, counts, live
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder

pytest.importorskip("starlette")
responses = importlib.import_module("starlette.responses")

Make = Callable[..., Any]


async def fail(request: Any) -> Any:
    """Fail."""
    raise ValueError


async def item(request: Any) -> Any:
    """Answer with a text."""
    return responses.PlainTextResponse("a")


def unavailable(request: Any, error: Exception) -> Any:
    """Answer an exception."""
    return responses.PlainTextResponse("try later", 503)


class Answers:
    """A middleware that answers each exception."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except ValueError:
            await responses.PlainTextResponse("sorry", 418)(scope, receive, send)


@pytest.fixture(params=["starlette", "fastapi"])
def framework(request: pytest.FixtureRequest, recorder: Recorder) -> tuple[Any, Make]:
    """Return the application's class, and ``Metrics`` with the recorder's meter."""
    name = request.param
    module = pytest.importorskip(name.replace("starlette", "starlette.applications"))
    kind = getattr(module, {"starlette": "Starlette", "fastapi": "FastAPI"}[name])
    metrics = importlib.import_module(f"dtmetrics.integrations.{name}").Metrics

    def measured(app: Any, **options: Any) -> Any:
        return metrics(app, meter=recorder.meter, **options)

    return kind, measured


def filled(app: Any) -> Any:
    """Add routes to *app*."""
    app.add_route("/items/{number}", item)
    app.add_route("/fails", fail)
    return app


EXPECTED = {
    ("/items/{number}", "200", None): 1,
    ("/fails", "503", "ValueError"): 1,
    (None, "404", None): 1,
}


def ask_all(app: Any) -> list[int | None]:
    """Send three requests; return the statuses that the client gets."""
    return [ask(app, path) for path in ("/items/7", "/fails", "/none")]


@pytest.mark.parametrize("when", ["first", "last", "twice", "started", "around"])
def test_the_status_that_clients_see(
    recorder: Recorder, framework: tuple[Any, Make], when: str
) -> None:
    """A handler for Exception answers outside of middlewares; its status is recorded.

    This holds before and after routes, handlers and middlewares are added, after the
    application has started, with several calls, and for the object itself.
    """
    kind, measured = framework
    app = kind()
    if when in ("first", "twice"):
        measured(app)
    filled(app)
    app.add_exception_handler(Exception, unavailable)
    if when != "started":
        app.add_middleware(MetricsMiddleware, meter=recorder.meter)
    served = app
    if when == "around":
        served = measured(app)
    elif when == "started":
        assert ask(app, "/items/7") == 200
        measured(app)
    elif when != "first":
        measured(app)
    assert ask_all(served) == [200, 503, 404]
    assert counts(recorder) == EXPECTED
    assert ask(served, "/items/8") == 200
    assert counts(recorder) == {("/items/{number}", "200", None): 1}


def test_a_middleware_that_answers(
    recorder: Recorder, framework: tuple[Any, Make]
) -> None:
    """Where a middleware answers an exception, its status is recorded."""
    kind, measured = framework
    app = filled(kind())
    measured(app)
    app.add_middleware(Answers)
    assert ask(app, "/fails") == 418
    assert counts(recorder) == {("/fails", "418", None): 1}


def test_mounts(recorder: Recorder, framework: tuple[Any, Make]) -> None:
    """A mounted application is recorded once, by the outermost that is measured."""
    kind, measured = framework
    inner, outer = filled(kind()), filled(kind())
    measured(inner)
    outer.mount("/sub", inner)
    assert ask(outer, "/sub/items/7") == 200
    assert ask(outer, "/items/7") == 200
    assert counts(recorder) == {("/sub/items/{number}", "200", None): 1}
    measured(inner)
    outer = filled(kind())
    measured(outer)
    outer.mount("/sub", inner)
    assert ask(outer, "/sub/fails") == 500
    assert ask(outer, "/items/7") == 200
    assert counts(recorder) == {
        ("/sub/fails", "500", "ValueError"): 1,
        ("/items/{number}", "200", None): 1,
    }


def test_lifespan(recorder: Recorder, framework: tuple[Any, Make]) -> None:
    """The lifespan of an application is passed on, and not recorded."""
    kind, measured = framework
    app = kind()
    measured(app)
    complete = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert live(app) == complete
    assert recorder.payloads() == {}


def test_options(recorder: Recorder, framework: tuple[Any, Make]) -> None:
    """Options are those of the middleware; a wrong one changes nothing."""
    kind, measured = framework
    app = filled(kind())
    with pytest.raises(TypeError, match="exclude must be"):
        measured(app, exclude=1)
    assert "build_middleware_stack" not in vars(app)
    measured(app, exclude="/items/*", dimensions=lambda scope: {"at": scope["path"]})
    ask_all(app)
    assert {dict(pairs)["at"] for _, pairs in recorder.payloads()} == {
        "/fails",
        "/none",
    }


def test_another_application(framework: tuple[Any, Make]) -> None:
    """An object that is not an application of the framework is reported at once."""
    _, measured = framework
    with pytest.raises(TypeError, match=r"app must be a (Starlette|FastAPI), got"):
        measured(item)


def test_another_instrumentation(
    recorder: Recorder, framework: tuple[Any, Make]
) -> None:
    """A method that another instrumentation has replaced is called."""
    kind, measured = framework
    app = filled(kind())
    build = app.build_middleware_stack
    built = []
    app.build_middleware_stack = lambda: built.append(build()) or built[0]
    measured(app)
    assert ask(app, "/fails") == 500
    assert counts(recorder) == {("/fails", "500", "ValueError"): 1}
    assert len(built) == 1


def test_freed_at_once(recorder: Recorder) -> None:
    """An application of Starlette is freed without the garbage collector."""
    applications = importlib.import_module("starlette.applications")
    metrics = importlib.import_module("dtmetrics.integrations.starlette").Metrics

    def made() -> weakref.ref[Any]:
        app = filled(applications.Starlette())
        metrics(app, meter=recorder.meter)
        assert ask(app, "/items/7") == 200
        return weakref.ref(app)

    with no_collector():
        freed = made()
        assert freed() is None

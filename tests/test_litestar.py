from __future__ import annotations

from typing import Any

import pytest

from tests.support.asgi_requests import ask, counts, live
from tests.support.recorder import Recorder

litestar = pytest.importorskip("litestar")
exceptions = pytest.importorskip("litestar.exceptions")
metrics = pytest.importorskip("dtmetrics.integrations.litestar").Metrics


@litestar.get("/items/{number:int}", sync_to_thread=False)
def item(request: litestar.Request) -> int:  # type: ignore[name-defined, type-arg, unused-ignore]
    """Answer with the number."""
    return int(request.path_params["number"])


@litestar.get("/fails", sync_to_thread=False)
def fails() -> None:
    """Fail."""
    raise KeyError


@litestar.get("/refuses", sync_to_thread=False)
def refuses() -> None:
    """Refuse."""
    raise exceptions.NotAuthorizedException


def unavailable(request: Any, error: Exception) -> Any:
    """Answer an exception."""
    return litestar.Response("try later", status_code=503)


def application(*handlers: Any, **options: Any) -> Any:
    """Return an application, which does not start the thread of Litestar's logging."""
    return litestar.Litestar(handlers, logging_config=None, **options)


@pytest.mark.parametrize("served", ["app", "metrics"])
def test_the_status_that_clients_see(recorder: Recorder, served: str) -> None:
    """Statuses are recorded that Litestar answers outside of its middlewares.

    An exception is an error from a status of 500 on.
    """
    app: Any = application(item, fails, refuses)
    made = metrics(app, meter=recorder.meter)
    metrics(app, meter=recorder.meter)
    whole = app if served == "app" else made
    paths = ("/items/7", "/fails", "/refuses", "/none")
    assert [ask(whole, path) for path in paths] == [200, 500, 401, 404]
    statuses = {
        (status, error): n for (_, status, error), n in counts(recorder).items()
    }
    assert statuses == {
        ("200", None): 1,
        ("500", "KeyError"): 1,
        ("401", None): 1,
        ("404", None): 1,
    }


def test_a_handler(recorder: Recorder) -> None:
    """The status of an application's handler for Exception is recorded."""
    app = application(fails, exception_handlers={Exception: unavailable})
    metrics(app, meter=recorder.meter)
    assert ask(app, "/fails") == 503
    [(_, status, error)] = counts(recorder)
    assert (status, error) == ("503", "KeyError")


def test_lifespan(recorder: Recorder) -> None:
    """The lifespan of an application is passed on."""
    app = application()
    metrics(app, meter=recorder.meter)
    complete = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert live(app) == complete


def test_another_application() -> None:
    """An object that is not an application of Litestar is reported at once."""
    with pytest.raises(TypeError, match="app must be a Litestar, got"):
        metrics(item)

"""Which framework a target is registered with already.

A framework that has registered a function calls that function, and not what decorates
the object that the framework has returned. Frameworks are found in ``sys.modules`` and
never imported. Those that return the function itself, as the routes of Flask and
FastAPI do, cannot be recognised.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import NamedTuple

__all__ = ["Registration", "registration_of"]


class Registration(NamedTuple):
    """How a function was registered."""

    #: The decorator that did it, as code.
    decorator: str
    framework: str


_CELERY = Registration("@app.task", "Celery")
_LITESTAR = Registration("@get() and the like", "Litestar")

#: By module and class of what the decorator returns. Celery returns a proxy, from which
#: nothing may be read: it would make the task before its time.
_REGISTRATIONS = {
    ("celery.app.task", "Task"): _CELERY,
    ("celery.local", "Proxy"): _CELERY,
    ("click.core", "Command"): Registration("@click.command()", "click"),
    ("dramatiq.actor", "Actor"): Registration("@dramatiq.actor", "dramatiq"),
    ("huey.api", "TaskWrapper"): Registration("@huey.task()", "huey"),
    ("litestar.handlers.base", "BaseRouteHandler"): _LITESTAR,
    ("_pytest.fixtures", "FixtureFunctionDefinition"): Registration(
        "@pytest.fixture", "pytest"
    ),
    ("ray.remote_function", "RemoteFunction"): Registration("@ray.remote", "Ray"),
    ("taskiq.decor", "AsyncTaskiqDecoratedTask"): Registration(
        "@broker.task", "taskiq"
    ),
}


def registration_of(target: object) -> Registration | None:
    """Return how *target* was registered; None if it was not, or is not known to be."""
    if type(target) is FunctionType:  # nearly always
        return None
    kinds = type(target).__mro__
    for (module, name), registration in _REGISTRATIONS.items():
        if getattr(sys.modules.get(module), name, None) in kinds:
            return registration
    return None

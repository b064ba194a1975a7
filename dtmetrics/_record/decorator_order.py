"""The order of decorators: ours must be below one that registers the function."""

from __future__ import annotations

from typing import Protocol

from dtmetrics._decorate.registered import registration_of
from dtmetrics._record.definition import calling_site
from dtmetrics.errors import DecoratorOrderError, DefinitionError

__all__ = ["Reports", "check_order"]


class Reports(Protocol):
    """What is used of the catalog."""

    def report(self, error: DefinitionError, consequence: str) -> None:
        """Raise *error* if the settings are strict; else log it once."""


def check_order(target: object, decorator: object, catalog: Reports) -> None:
    """Raise or log that *target*, which *decorator* decorates, is registered already.

    It raises a DecoratorOrderError if the settings are strict.
    """
    registration = registration_of(target)
    if registration is None:
        return
    above, framework = registration
    error = DecoratorOrderError(
        f"{decorator} must be below {above} at {calling_site()}, because {framework} "
        "calls the function that it has registered"
    )
    catalog.report(error, "only direct calls are recorded")

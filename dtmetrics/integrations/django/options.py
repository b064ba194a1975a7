"""What the settings ask for, and what of them cannot work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeGuard

from django.conf import settings
from django.utils.module_loading import import_string

from dtmetrics._config.config import Config
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.secret import Secret
from dtmetrics._instrument.server import Options, Requests
from dtmetrics._record.meter import Meter
from dtmetrics.errors import ConfigError, DefinitionError

__all__ = [
    "Fault",
    "commands",
    "faults",
    "faults_of_requests",
    "given",
    "of_configure",
    "of_requests",
]

# `dimensions` is taken: a mapping, for all that is recorded.
_DIMENSIONS = "request_dimensions"
_OF_REQUESTS = Options.__annotations__.keys() - {"dimensions"}
_KNOWN = {*SETTINGS, *_OF_REQUESTS, _DIMENSIONS, "cache", "commands", "database"}
_FLAGS = "active_requests", "body_sizes", "cache", "database"


class Fault(NamedTuple):
    """What is wrong with the settings; no text of it holds the token."""

    id: str
    text: str
    hint: str = ""


def given() -> Mapping[str, Any] | None:
    """Return the settings dict ``DTMETRICS``; None: there is none that can be read."""
    found = getattr(settings, "DTMETRICS", None)
    return found if isinstance(found, Mapping) else None


def of_configure(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of *options* ``configure()`` takes."""
    return {name: value for name, value in options.items() if name in SETTINGS}


def of_requests(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of *options* a middleware takes.

    Raises ImportError where a dotted path leads nowhere.
    """
    found = {name: value for name, value in options.items() if name in _OF_REQUESTS}
    more = options.get(_DIMENSIONS)
    # Settings cannot import what needs them, so a path is as good.
    found["dimensions"] = import_string(more) if isinstance(more, str) else more
    return found


def commands(options: Mapping[str, Any]) -> Collection[str]:
    """Return which of Django's commands record."""
    found = options.get("commands")
    return found if _is_list(found) else ("runserver",)


def faults() -> list[Fault]:
    """Return all that is wrong with the settings."""
    if not hasattr(settings, "DTMETRICS"):
        return []
    options = given()
    if options is None:
        return [Fault("E001", "DTMETRICS is no dict")]
    return [
        *_unknown(options),
        *_of_configure(options),
        *faults_of_requests(options),
        *_of_ours(options),
    ]


def faults_of_requests(options: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with what of *options* a middleware takes."""
    if not isinstance(options.get("meter"), Meter | None):
        return [Fault("E004", "DTMETRICS: meter is no Meter; get_meter() makes one")]
    try:
        found = of_requests(options)
    except Exception as error:  # noqa: BLE001 -- what users wrote may raise anything
        text = f"DTMETRICS: {_DIMENSIONS} cannot be imported: {error}"
        return [Fault("E004", text)]
    try:
        Requests(**found)
    except DefinitionError:  # under ``strict`` the middleware raises it
        return []
    except (TypeError, ValueError) as error:
        return [Fault("E004", f"DTMETRICS: {error}")]
    more = found["dimensions"]
    if more is not None and not callable(more):
        return [Fault("E004", f"DTMETRICS: {_DIMENSIONS} is no callable, nor a path")]
    return []


def _unknown(options: Mapping[str, Any]) -> list[Fault]:
    return [
        Fault("E002", f"DTMETRICS has no setting {name!r:.100}", _suggestion(str(name)))
        for name in options
        if name not in _KNOWN
    ]


def _suggestion(name: str) -> str:
    near = get_close_matches(name.lower(), sorted(_KNOWN), 1)
    return f"Perhaps {near[0]!r} is meant." if near else ""


def _of_configure(options: Mapping[str, Any]) -> list[Fault]:
    arguments = {
        name: Secret(value) if name in ("endpoint", "token") else value
        for name, value in of_configure(options).items()
        if value is not None or name == "interval"
    }
    hint = ""
    if callable(options.get("dimensions")):
        hint = f"A callable that is asked for each request is {_DIMENSIONS!r}."
    try:
        Config.resolve(arguments)
    except ConfigError as error:
        return [
            Fault("E003", f"DTMETRICS: {problem}", hint * problem.startswith("dim"))
            for problem in error.problems
        ]
    return []


def _of_ours(options: Mapping[str, Any]) -> list[Fault]:
    found = [
        Fault("E004", f"DTMETRICS: {name} is neither True nor False")
        for name in _FLAGS
        if not isinstance(options.get(name, True), bool)
    ]
    if not _is_list(options.get("commands", ())):
        found.append(Fault("E004", "DTMETRICS: commands is no list of names"))
    return found


def _is_list(value: Any) -> TypeGuard[Collection[str]]:
    return isinstance(value, Collection) and not isinstance(value, str | Mapping)

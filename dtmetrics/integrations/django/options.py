"""The settings dict ``DTMETRICS``: its parts, and its problems."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeGuard

from django.conf import settings
from django.utils.module_loading import import_string

from dtmetrics._config.config import Config
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.secret import Secret
from dtmetrics._instrument.http_server import ServerInstruments
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default
from dtmetrics.errors import ConfigError, DefinitionError

__all__ = [
    "Problem",
    "configure_arguments",
    "middleware_problems",
    "recording_commands",
    "server_instruments",
    "settings_dict",
    "settings_problems",
]

# Not `dimensions`: that is the mapping of configure(), for all instruments.
_DIMENSIONS = "request_dimensions"
_MIDDLEWARE = frozenset(("active_requests", "body_sizes", "exclude", "known_methods"))
_FLAGS = "active_requests", "body_sizes", "cache", "database"
_KNOWN = {*SETTINGS, *_MIDDLEWARE, *_FLAGS, _DIMENSIONS, "commands", "meter"}


class Problem(NamedTuple):
    """A problem of the settings; its text never holds the token."""

    id: str
    text: str
    hint: str = ""


def settings_dict() -> Mapping[str, Any] | None:
    """Return ``DTMETRICS``; None if it is missing or not a mapping."""
    options = getattr(settings, "DTMETRICS", None)
    return options if isinstance(options, Mapping) else None


def configure_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of *options* for ``configure()``."""
    return {name: value for name, value in options.items() if name in SETTINGS}


def server_instruments(options: Mapping[str, Any]) -> ServerInstruments:
    """Return the instruments of the middleware that *options* describe.

    Raises ImportError or AttributeError if a dotted path leads nowhere, and any
    exception of the imported module; TypeError if an option has the wrong type; and
    DefinitionError under ``strict``, if a key is taken.
    """
    arguments = {name: value for name, value in options.items() if name in _MIDDLEWARE}
    dimensions = options.get(_DIMENSIONS)
    if isinstance(dimensions, str):  # settings cannot import what needs them
        dimensions = import_string(dimensions)
    meter = options.get("meter") or default.get_meter("dtmetrics.integrations.django")
    return ServerInstruments(meter, dimensions=dimensions, **arguments)


def recording_commands(options: Mapping[str, Any]) -> Collection[str]:
    """Return the commands of ``manage.py`` that record."""
    commands = options.get("commands")
    return commands if _is_list(commands) else ("runserver",)


def settings_problems() -> list[Problem]:
    """Return all problems of ``DTMETRICS``."""
    if not hasattr(settings, "DTMETRICS"):
        return []
    options = settings_dict()
    if options is None:
        kind = type(settings.DTMETRICS).__name__
        return [Problem("E001", f"DTMETRICS must be a dict, got an object of {kind}")]
    return [
        *_unknown(options),
        *_configure_problems(options),
        *middleware_problems(options),
        *_other_problems(options),
    ]


def middleware_problems(options: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of the part of *options* for the middleware."""
    if not isinstance(options.get("meter"), Meter | None):
        return [_problem("meter must be a Meter, as get_meter() returns")]
    dimensions = options.get(_DIMENSIONS)
    if isinstance(dimensions, str):
        try:
            dimensions = import_string(dimensions)
        except Exception as error:  # noqa: BLE001 -- a user's module may raise anything
            return [_problem(f"{_DIMENSIONS} cannot be imported: {error}")]
    try:
        server_instruments(options)
    except DefinitionError:  # under ``strict`` the middleware raises it
        return []
    except (TypeError, ValueError) as error:
        return [_problem(str(error))]
    if dimensions is not None and not callable(dimensions):
        return [_problem(f"{_DIMENSIONS} must be a callable, or a dotted path to one")]
    return []


def _problem(text: str) -> Problem:
    return Problem("E004", f"DTMETRICS: {text}")


def _unknown(options: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem("E002", f"DTMETRICS has no setting {name!r:.100}", _suggest(str(name)))
        for name in options
        if name not in _KNOWN
    ]


def _suggest(name: str) -> str:
    near = get_close_matches(name.lower(), sorted(_KNOWN), 1)
    return f"Did you mean {near[0]!r}?" if near else ""


def _configure_problems(options: Mapping[str, Any]) -> list[Problem]:
    arguments = {
        name: Secret(value) if name in ("endpoint", "token") else value
        for name, value in configure_arguments(options).items()
        if value is not None or name == "interval"
    }
    hint = ""
    if callable(options.get("dimensions")):
        hint = f"A callable that is called for each request belongs in {_DIMENSIONS!r}."
    try:
        Config.resolve(arguments)
    except ConfigError as error:
        return [
            Problem("E003", f"DTMETRICS: {text}", hint * text.startswith("dimensions"))
            for text in error.problems
        ]
    return []


def _other_problems(options: Mapping[str, Any]) -> list[Problem]:
    problems = [
        _problem(f"{name} must be True or False, got {options[name]!r:.100}")
        for name in _FLAGS
        if not isinstance(options.get(name, True), bool)
    ]
    if not _is_list(options.get("commands", ())):
        problems.append(_problem("commands must be a list of names"))
    return problems


def _is_list(value: object) -> TypeGuard[Collection[str]]:
    return isinstance(value, Collection) and not isinstance(value, str | Mapping)

"""The settings dict ``DTMETRICS``: its parts, and its problems."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeGuard

from django.conf import settings
from django.core.checks import Error
from django.utils.module_loading import import_string

from dtmetrics._config.config import Config
from dtmetrics._config.disabled import is_disabled
from dtmetrics._config.invalid_setting import near
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.secret import SECRET_SETTINGS, Secret
from dtmetrics._instrument.http_server import ServerInstruments
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default
from dtmetrics.errors import ConfigError, DefinitionError

__all__ = [
    "configure_arguments",
    "recording_commands",
    "server_instruments",
    "settings_dict",
    "settings_problems",
]

# Not `dimensions`: that is the mapping of configure(), for all instruments.
_DIMENSIONS = "request_dimensions"
_MIDDLEWARE = frozenset(
    ("active_requests", "body_sizes", "exclude", "known_methods", "time_to_first_byte")
)
_FLAGS = (
    "active_requests",
    "body_sizes",
    "cache",
    "database",
    "simplify_routes",
    "time_to_first_byte",
)
_KNOWN = {*SETTINGS, *_MIDDLEWARE, *_FLAGS, _DIMENSIONS, "commands", "meter"}


def settings_dict() -> Mapping[str, Any] | None:
    """Return ``DTMETRICS``; None if it is missing or not a mapping."""
    options = getattr(settings, "DTMETRICS", None)
    return options if isinstance(options, Mapping) else None


def configure_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of *options* for ``configure()``."""
    return {name: value for name, value in options.items() if name in SETTINGS}


def server_instruments(options: Mapping[str, Any]) -> ServerInstruments:
    """Return the instruments of the middleware that *options* describe.

    Raises TypeError if an option has the wrong type or cannot be imported, and
    DefinitionError under ``strict``, if a key is taken.
    """
    meter = options.get("meter")
    if not isinstance(meter, Meter | None):
        raise TypeError("meter must be a Meter, as get_meter() returns")
    dimensions = options.get(_DIMENSIONS)
    if isinstance(dimensions, str):  # settings cannot import what needs them
        try:
            dimensions = import_string(dimensions)
        except Exception as error:  # a user's module may raise anything
            raise TypeError(f"{_DIMENSIONS} cannot be imported: {error}") from error
    if not (dimensions is None or callable(dimensions)):
        raise TypeError(f"{_DIMENSIONS} must be a callable, or a dotted path to one")
    arguments = {name: value for name, value in options.items() if name in _MIDDLEWARE}
    meter = meter or default.get_meter("dtmetrics.integrations.django")
    return ServerInstruments(meter, dimensions=dimensions, **arguments)


def recording_commands(options: Mapping[str, Any]) -> Collection[str]:
    """Return the commands of ``manage.py`` that record."""
    commands = options.get("commands")
    return commands if _is_list(commands) else ("runserver",)


def settings_problems() -> list[Error]:
    """Return all problems of ``DTMETRICS``, as Django's messages.

    Their texts never hold the token.
    """
    if not hasattr(settings, "DTMETRICS"):
        return []
    options = settings_dict()
    if options is None:
        kind = type(settings.DTMETRICS).__name__
        text = f"DTMETRICS must be a dict, got an object of {kind}"
        return [Error(text, id="dtmetrics.E001")]
    texts = _integration_problems(options)
    others = [Error(f"DTMETRICS: {text}", id="dtmetrics.E004") for text in texts]
    return [*_unknown(options), *_configure_problems(options), *others]


def _unknown(options: Mapping[str, Any]) -> Iterator[Error]:
    for name in options:
        if name not in _KNOWN:
            meant = near(str(name).lower(), sorted(_KNOWN))
            hint = f"Did you mean {meant!r}?" if meant else None
            text = f"DTMETRICS has no setting {name!r:.100}"
            yield Error(text, hint=hint, id="dtmetrics.E002")


def _configure_problems(options: Mapping[str, Any]) -> Iterator[Error]:
    arguments = {
        name: Secret(value) if name in SECRET_SETTINGS else value
        for name, value in configure_arguments(options).items()
        if value is not None or name == "interval"
    }
    try:
        if not is_disabled():
            Config.resolve(arguments)
    except ConfigError as error:
        for text in error.problems:
            hint = None
            if text.startswith("dimensions") and callable(options.get("dimensions")):
                hint = f"A callable for each request belongs in {_DIMENSIONS!r}."
            yield Error(f"DTMETRICS: {text}", hint=hint, id="dtmetrics.E003")


def _integration_problems(options: Mapping[str, Any]) -> Iterator[str]:
    try:
        server_instruments(options)
    except DefinitionError:  # under ``strict`` the middleware raises it
        pass
    except TypeError as error:
        yield str(error)
    for name in _FLAGS:
        if not isinstance(options.get(name, True), bool):
            yield f"{name} must be True or False, got {options[name]!r:.100}"
    if not _is_list(options.get("commands", ())):
        yield "commands must be a list of names"


def _is_list(value: object) -> TypeGuard[Collection[str]]:
    return isinstance(value, Collection) and not isinstance(value, str | Mapping)

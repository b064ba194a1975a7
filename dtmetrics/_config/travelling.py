"""The settings that travel to another process with what is pickled.

Those that were given as arguments count there as arguments. Those of the environment,
and of the file that it names, count there as variables that the environment of that
process lacks. What holds a secret stays: a token, a password, a proxy with credentials.
So do rules with a function.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config import environment
from dtmetrics._config.config import Config
from dtmetrics._config.conflicts import TOKENS
from dtmetrics._config.document_file import document_of_environment
from dtmetrics._core.secret import Secret, hide_secrets
from dtmetrics._record.dimensions import as_plain
from dtmetrics._record.rule import Rule

__all__ = ["TRAVELLING", "encode", "resolve"]

_FILES = "token_file", "ca_file", "client_cert", "client_key", "spool"
#: The names of the settings that travel.
TRAVELLING = frozenset(
    (
        *_FILES,
        "allow_plain_http",
        "budget",
        "cap",
        "compression",
        "delivery",
        "dimensions",
        "endpoint",
        "enrich",
        "flush_at_os_exit",
        "interval",
        "level",
        "levels",
        "max_outbox_bytes",
        "max_series",
        "max_series_per_metric",
        "metadata",
        "prefix",
        "process_dimension",
        "proxy",
        "rules",
        "runtime",
        "self_metrics",
        "strict",
        "worker_dimension",
    )
)


def encode(
    config: Config,
    arguments: Collection[str],
    number: int,
    below: Collection[str] = (),
) -> str:
    """Return the settings of *config* that travel, as a text.

    *arguments* are the names of the settings that were given as arguments, and *below*
    those that count as variables. *number* is higher for a later configuration of a
    process.
    """
    chosen = config.all_exporters[0]
    if chosen is not None and {"exporter", "exporters"} & {*arguments}:
        return _text({"number": number, "exporter": type(chosen).__name__})
    given = {name: _plain(config, name) for name in arguments if name in TRAVELLING}
    variables = {
        name: _plain(config, name)
        for name in {**environment.settings_of(), **dict.fromkeys(below)}
        if name in TRAVELLING and name not in given
    }
    return _text(
        {"number": number, "arguments": _set(given), "variables": _set(variables)}
    )


def resolve(settings: Mapping[str, Any]) -> Config:
    """Return what *settings*, which ``encode()`` made elsewhere, mean in this process.

    Each is checked as one of ``configure()``; names that do not travel are left out.
    Raises ConfigError, and other errors for a text of another form.
    """
    document = document_of_environment()
    own = {**document.settings, **environment.settings_of()}
    given = _travelled(settings["arguments"])
    below = _travelled(settings["variables"])
    if any(name in own for name in TOKENS):
        below.pop("token_file", None)
    arguments = {n: value for n, value in below.items() if n not in own} | given
    file = arguments.get("token_file")
    if file is not None and not os.access(file, os.R_OK):
        # It is on the other host. A token of this environment is used, if there is one.
        del arguments["token_file"]
    # The sending process shows where data points arrive.
    quiet = {**hide_secrets(arguments), "announce": False}
    return Config.resolve(quiet, document=document)


def _travelled(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in settings if name in TRAVELLING}


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    # None means that a setting is not given, but for this one.
    return {
        name: value
        for name, value in settings.items()
        if value is not None or name == "interval"
    }


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, separators=(",", ":"), sort_keys=True)


def _has_function(rule: Rule) -> bool:
    return any(map(callable, rule.get("replace", {}).values()))


def _plain(config: Config, name: str) -> Any:  # noqa: ANN401 -- a value of any setting
    """Return the setting *name* of *config* as JSON can hold it; None if it stays."""
    value = getattr(config, name)
    if name in _FILES and value is not None:
        return os.path.abspath(value)  # the other process may be in another directory
    if name == "dimensions":
        return dict(as_plain(tuple(value.items())))
    if name == "rules" and any(map(_has_function, value)):
        return None
    if name == "process_dimension":
        return value or False
    if isinstance(value, Secret):  # a proxy
        url = value.reveal()
        return None if "@" in urlsplit(url).netloc else url
    return value

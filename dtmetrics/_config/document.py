"""Settings from a document: a mapping, or a text in TOML or JSON.

Nothing in a document is executed or imported. It holds what TOML and JSON can express:
texts, numbers, booleans, lists and tables. What is wrong with it is returned and not
raised, so that one ConfigError reports it together with all other problems.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dtmetrics._config.invalid_setting import (
    InvalidSettingError,
    check_each,
    describe,
    unknown,
)
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret, hide_secrets

__all__ = ["NO_DOCUMENT", "Document", "document_of", "parse"]

# Deeper than any setting.
_DEEPEST = 8

_PLAIN = (
    "be a text, a number, a boolean, a list or a table, because a document holds "
    "nothing else"
)
_ONE_VALUE = "be a text, a number or a boolean"
_NAMES = "list names, such as 'console', because a document holds no objects"
_IN_CODE = "be set in code, because a document holds no objects"
# Their entries are single values.
_FLAT = "dimensions", "levels"
_PYPROJECT = "tool", "dtmetrics"

# In messages of tomllib about keys that are there twice, which show the keys.
_TWICE = "Cannot", "Duplicate"
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a document sets, and its problems."""

    #: By setting: what names it in errors, and its value or an InvalidSettingError.
    settings: Mapping[str, tuple[str, object]] = field(default_factory=dict)
    #: One sentence for each.
    problems: Sequence[str] = ()
    #: Whether its settings count as arguments, which win over variables.
    wins: bool = False


#: That of a program that has none.
NO_DOCUMENT = Document()


def document_of(held: Secret, place: str = "", *, wins: bool) -> Document:
    """Return the document in the mapping that *held* holds.

    *place* begins each problem. A value None counts as not set, but for the interval.
    """
    if not isinstance(held.reveal(), Mapping):
        source = place.rstrip(": .") or "settings"
        error = InvalidSettingError("be a table of settings", held.reveal())
        return Document(problems=error.sentences(source), wins=wins)
    settings: dict[str, tuple[str, object]] = {}
    problems: list[str] = []
    for name, value in hide_secrets(held.reveal()).items():
        if name not in SETTINGS:
            problems.append(unknown(name, SETTINGS, place))
        elif value is not None or name == "interval":
            settings[name] = f"{place}{name}", _read_value(name, value)
    return Document(settings=settings, problems=problems, wins=wins)


def parse(content: Secret, path: str, *, wins: bool) -> Document:
    """Return the document in the bytes that *content* holds, of the file at *path*.

    It is JSON if the name ends in ``.json``, and otherwise TOML. In a file of the name
    ``pyproject.toml`` the settings are in the table ``tool.dtmetrics``.
    """
    problems: list[str] = []
    text = _decode(content, problems)
    read = _read_json if path.lower().endswith(".json") else _read_toml
    found = Secret(None) if problems else read(text, problems)
    if problems:
        return Document(problems=[f"{path} {each}" for each in problems], wins=wins)
    place = f"{path}: "
    for key in _PYPROJECT if os.path.basename(path) == "pyproject.toml" else ():
        place += f"{key}."
        table = found.reveal()
        found = Secret(table.get(key) if isinstance(table, Mapping) else None)
    return document_of(found, place, wins=wins)


def _read_value(name: str, value: object) -> object:
    """Return *value* as `SETTINGS` takes it, or why it cannot be in a document."""
    try:
        return _plain_value(name, value)
    except InvalidSettingError as error:
        return error.with_traceback(None)  # its frames hold the value


def _plain_value(name: str, value: object) -> object:
    if name == "exporter":
        raise InvalidSettingError(_IN_CODE, value, hint="exporters")
    if isinstance(value, Secret):
        _require_plain(value.reveal(), set())
    elif name in _FLAT and isinstance(value, Mapping):
        check = partial(_flat_entry, name)
        check_each(partial(check, key, each) for key, each in value.items())
    elif name == "exporters" and isinstance(value, list | tuple):
        check_each(partial(_exporter, n, each) for n, each in enumerate(value))
        return ",".join(value)
    else:
        _require_plain(value, set())
    return value


def _flat_entry(name: str, key: object, value: object) -> None:
    """Check one entry of *name*, so that each that is invalid is reported."""
    shown = key if isinstance(key, str) else describe(key)
    if isinstance(value, Mapping):
        # In TOML, an entry shop.db without quotes is a table in a table.
        inner = f"{key}.{next(iter(value), '')}"
        hint = f"{describe(inner)} in quotes"
        raise InvalidSettingError(_ONE_VALUE, value, hint=hint, key=shown)
    if not _is_one_value(value):
        raise InvalidSettingError(_ONE_VALUE, value, key=shown)
    SETTINGS[name]({key: value})


def _exporter(place: int, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidSettingError(_NAMES, value, key=place)


def _require_plain(
    value: object, seen: set[int], path: str = "", deepest: int = _DEEPEST
) -> None:
    """Raise for each value in *value*, at *path*, that a document cannot hold.

    A container that was *seen* is not looked at again: an alias of YAML may repeat one
    any number of times.
    """
    if _is_one_value(value) or id(value) in seen:
        return
    seen.add(id(value))
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    else:
        raise InvalidSettingError(_PLAIN, value, path=path)
    if not deepest:
        requirement = f"be at most {_DEEPEST} levels deep"
        raise InvalidSettingError(requirement, value, path=path)
    check_each(
        partial(_require_plain, each, seen, f"{path}[{describe(key)}]", deepest - 1)
        for key, each in pairs
    )


def _is_one_value(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _decode(content: Secret, problems: list[str]) -> Secret:
    def note(error: Exception) -> None:
        start = getattr(error, "start", 0)
        problems.append(f"must be a text in UTF-8, got another byte at {start}")

    decode = partial(content.reveal().decode, "utf-8-sig")
    return Secret(call_safely(decode, default="", on_error=note))


def _read_toml(text: Secret, problems: list[str]) -> Secret:
    load = _toml_reader()
    if load is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        problems.append(
            f"must be JSON on Python {version} without the extra toml, got another one "
            '(did you mean pip install "dtmetrics[toml]"?)'
        )
        return Secret(None)

    def note(error: Exception) -> None:
        # The error and its traceback hold the text.
        message = str(error) if isinstance(error, ValueError) else type(error).__name__
        position = _POSITION.search(message)
        reason = _POSITION.sub("", message)
        if reason.startswith(_TWICE):
            reason = "a key that is there twice"
        line, column = position.groups() if position else (None, None)
        place = f"line {line}, column {column}" if line else "its end"
        problems.append(f"must be valid TOML, got an error at {place}: {reason}")

    return Secret(call_safely(load, text.reveal(), default=None, on_error=note))


def _toml_reader() -> Callable[[str], dict[str, Any]] | None:
    for name in "tomllib", "tomli":  # tomllib is new in Python 3.11
        with suppress(ImportError):
            found: Callable[[str], dict[str, Any]] = importlib.import_module(name).loads
            return found
    return None


def _read_json(text: Secret, problems: list[str]) -> Secret:
    def note(error: Exception) -> None:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        reason = getattr(error, "msg", type(error).__name__)
        place = f"line {line}, column {column}"
        problems.append(f"must be valid JSON, got an error at {place}: {reason}")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        count = Counter(key for key, _ in pairs)
        problems.extend(
            f"must have the key {describe(key)} once in a table, got {times} of it"
            for key, times in count.items()
            if times > 1
        )
        return dict(pairs)

    load = partial(json.loads, object_pairs_hook=once)
    return Secret(call_safely(load, text.reveal(), default=None, on_error=note))

"""What ``rules`` and ``cap`` must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

from dtmetrics._config.entry_checks import dimension_key, level
from dtmetrics._config.invalid_setting import InvalidSettingError, check_each, near
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import (
    RESERVED_PREFIX,
    clean_dimension_key,
    clean_key,
)
from dtmetrics._record.pattern import names_in, wildcards_in
from dtmetrics._record.rule import Rule

__all__ = ["cap", "rules"]

_CONDITIONS = "key", "meter", "dimensions"
_ALONE = "deny"
_KNOWN = tuple(Rule.__annotations__)
_ACTIONS = tuple(name for name in _KNOWN if name not in _CONDITIONS)
_LONGEST_PATTERN = 250
# More of them in one key may take a minute to match.
_MOST_PARTS = 10

Check = Callable[[object], object]


def cap(value: object) -> str | None:
    """Return *value*, ``"auto"`` or None; raise if it is neither."""
    if value is not None and value != "auto":
        raise InvalidSettingError("be 'auto' or None", value)
    return None if value is None else "auto"


def rules(value: object) -> tuple[Rule, ...]:
    """Return *value*, which may be a text in JSON, as rules; raise for each fault."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = call_safely(json.loads, value, default=value)
    if not isinstance(value, list | tuple):
        raise InvalidSettingError("be a list of rules, each a mapping", value)
    checks = (partial(_rule, place, each) for place, each in enumerate(value))
    return tuple(check_each(checks))


def _rule(place: int, value: object) -> Rule:
    if not isinstance(value, Mapping):
        raise InvalidSettingError("be a mapping", value, key=place)
    try:
        checked = dict(check_each(partial(_entry, name, value) for name in value))
        _check_whole(checked)
    except InvalidSettingError as error:
        for each in (error, *error.others):
            each.key = place
        raise
    return cast("Rule", checked)


def _entry(name: object, rule: Mapping[Any, object]) -> tuple[str, Any]:
    if not isinstance(name, str) or name not in _KNOWN:
        hint = near(name, _KNOWN) if isinstance(name, str) else ""
        known = ", ".join(_KNOWN)
        raise InvalidSettingError(f"have only keys among {known}", name, hint=hint)
    return name, _item(f".{name}", _CHECKS[name], rule[name])


def _check_whole(rule: Mapping[str, Any]) -> None:
    """Raise unless the entries of *rule*, which are valid, make sense together."""
    actions = [name for name in rule if name in _ACTIONS]
    if not actions:
        requirement = f"have an action: {', '.join(_ACTIONS)}"
        raise InvalidSettingError(
            requirement, got=", ".join(rule) or "an empty mapping"
        )
    if _ALONE in actions and len(actions) > 1:
        requirement = f"have no other action beside {_ALONE}"
        raise InvalidSettingError(requirement, got=", ".join(actions))
    if "rename" in rule:
        _check_rename(rule.get("key", ""), rule["rename"])


def _check_rename(pattern: str, target: str) -> None:
    fail = partial(InvalidSettingError, path=".rename")
    if not pattern:
        raise fail("come with a key that it renames", target)
    missing = [name for name in names_in(target) if name not in names_in(pattern)]
    if missing:
        names = ", ".join(f"${name}" for name in missing)
        raise fail(f"have only names that key has, and key has no {names}", target)
    if wildcards_in(target) > wildcards_in(pattern):
        raise fail("have at most as many * as key has", target)
    # What stands for a part may be any text: a letter does for the check.
    sample = target.replace("*", "a").replace("$", "").replace("{", "").replace("}", "")
    if clean_key(sample) is None:
        raise fail("begin with a letter or an underscore", target)
    if f"{sample}.".startswith(RESERVED_PREFIX):
        raise fail(f"not begin with {RESERVED_PREFIX!r}, which is reserved", target)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidSettingError("be a text", value)
    if len(value) > _LONGEST_PATTERN:
        requirement = f"have at most {_LONGEST_PATTERN} characters"
        raise InvalidSettingError(requirement, got=f"{len(value)} characters")
    return value


def _key(value: object) -> str:
    text = _text(value)
    names = names_in(text)
    if "" in names or len({*names}) < len(names):
        requirement = "have a different name after each $, as in $kid or ${user.id}"
        raise InvalidSettingError(requirement, value)
    if any(clean_dimension_key(name) is None for name in names):
        requirement = "have only names with a letter, digit or underscore"
        raise InvalidSettingError(requirement, value)
    if len(names) + wildcards_in(text) > _MOST_PARTS:
        raise InvalidSettingError(f"have at most {_MOST_PARTS} of * and $", value)
    return text


def _true(value: object) -> bool:
    if value is not True:
        raise InvalidSettingError("be True", value)
    return True


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidSettingError("be a list of patterns", value)
    checks = (partial(_item, f"[{n}]", _text, each) for n, each in enumerate(value))
    return tuple(check_each(checks))


def _item(path: str, check: Check, value: object) -> Any:  # noqa: ANN401 -- as checked
    """Return the checked *value*; *path* leads to it in what is wrong with it."""
    try:
        return check(value)
    except InvalidSettingError as error:
        for each in (error, *error.others):
            each.path = f"{path}{each.path}"
        raise


def _by_dimension(check: Check, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise InvalidSettingError("be a mapping with dimensions as keys", value)
    for key in value:
        dimension_key(key)
    pairs = [*value.items()]
    checks = (partial(_item, f"[{key!r}]", check, each) for key, each in pairs)
    found = check_each(checks)
    return dict(zip((key for key, _ in pairs), found, strict=True))


def _replacement(value: object) -> object:
    if callable(value):
        return value
    if not isinstance(value, Mapping) or not value:
        requirement = "be a function, or a mapping of patterns to values"
        raise InvalidSettingError(requirement, value)
    for pattern, text in value.items():
        if not isinstance(pattern, str) or not isinstance(text, str):
            raise InvalidSettingError("have texts as patterns and values", text)
    return {_text(pattern): text for pattern, text in value.items()}


def _cap(value: object) -> object:
    if value == "auto":
        return value
    if isinstance(value, str) or not isinstance(value, Mapping):
        requirement = "be 'auto' or a mapping of dimensions to a number of values"
        raise InvalidSettingError(requirement, value)
    return _by_dimension(_most, value)


def _most(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidSettingError("be an int of at least 1", value)
    return value


_CHECKS: dict[str, Check] = {
    "key": _key,
    "meter": _text,
    "dimensions": partial(_by_dimension, _text),
    "deny": _true,
    "allow": _true,
    "level": level,
    "rename": _text,
    "drop_dimensions": _texts,
    "keep_dimensions": _texts,
    "replace": partial(_by_dimension, _replacement),
    "cap": _cap,
}

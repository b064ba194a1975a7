"""Rules: what becomes of a series before it is made.

They are compiled once for a configuration. Instruments cache the series that they have
looked up, so that no rule is looked at again for each record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from dtmetrics._core.error_place import kind_and_place
from dtmetrics._core.level import OFF, checked_level
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import (
    DIMENSIONS_LIMIT,
    clean_dimension_key,
    clean_dimension_value,
    text_of,
)
from dtmetrics._protocol.point import Dimensions
from dtmetrics._record.dimensions import TOO_MANY
from dtmetrics._record.invalid_values import Reject
from dtmetrics._record.pattern import KeyPattern, matcher
from dtmetrics._record.rule import Replacement, Rule
from dtmetrics._record.source import Source
from dtmetrics._record.value_caps import OTHER, ValueCaps

__all__ = ["RULE_FAILED", "Changed", "Rules"]

RULE_FAILED = "the function of a rule failed"

# The dimensions of dtmetrics itself, which tell workers apart.
_OWN = "dtmetrics."
_MOST_MATCHES = 4_096

Matches = Callable[[str], object]


class Changed(NamedTuple):
    """What the rules have made of one series."""

    #: The metric key, without the prefix.
    key: str
    dimensions: Dimensions
    #: Whether no level disables it.
    enabled: bool
    #: Whether a dimension is folded before the key reaches its limit of series.
    folds: bool


class Rules:
    """The rules of one configuration; *kept* are dimensions that stay."""

    def __init__(self, rules: Sequence[Rule], kept: Collection[str] = ()) -> None:
        self.caps: ValueCaps = ValueCaps()
        stay = {clean_dimension_key(key) for key in kept}
        self._steps = [_Step(rule, stay) for rule in rules]

    def after_fork(self) -> Rules:
        """Return the rules for a forked child."""
        self.caps.reset_after_fork()
        return self

    def enabled(self, source: Source, lowest: int) -> bool | None:
        """Return whether an instrument may record; None if its dimensions decide.

        *lowest* is the level of its meter.
        """
        if source.level >= OFF:
            return False
        allowed = False
        key = source.key
        for step in self._steps:
            if not step.selects(key, source.scope):
                continue
            if step.dimensions:
                if step.decides:
                    return None
                continue
            if step.deny and not allowed:
                return False
            allowed = allowed or step.allow
            lowest = lowest if step.level is None else step.level
            key, _ = step.renamed(key)
        return lowest <= source.level

    def apply(
        self, source: Source, lowest: int, dimensions: Dimensions, reject: Reject
    ) -> Changed | None:
        """Return what becomes of a series with *dimensions*; None if it is denied."""
        allowed = folds = False
        caps: dict[str, int] = {}
        key, pairs = source.key, dict(dimensions)
        for step in self._steps:
            if not (step.selects(key, source.scope) and step.has_dimensions(pairs)):
                continue
            if step.deny and not allowed:
                return None
            allowed = allowed or step.allow
            folds = folds or step.folds
            lowest = lowest if step.level is None else step.level
            key, parts = step.renamed(key)
            pairs = step.changed({**parts, **pairs}, reject)
            for dimension, most in step.caps.items():
                caps[dimension] = min(most, caps.get(dimension, most))
        enabled = lowest <= source.level < OFF
        # Last, so that what is denied, disabled or replaced takes none of the values.
        for dimension, most in caps.items():
            if dimension in pairs and enabled:
                value = self.caps.capped(key, dimension, pairs[dimension], most)
                pairs[dimension] = value
        for dimension, values in self.caps.ended(key).items() if folds else ():
            if pairs.get(dimension, OTHER) not in values:
                pairs[dimension] = OTHER
        while len(pairs) > DIMENSIONS_LIMIT:
            pairs.popitem()
            reject(TOO_MANY)
        return Changed(key, tuple(sorted(pairs.items())), enabled, folds)


class _Step:
    """One compiled rule; *stay* are dimensions that ``keep_dimensions`` keeps."""

    def __init__(self, rule: Rule, stay: Collection[str | None]) -> None:
        given: Mapping[str, Any] = rule
        pattern = given.get("key", "*")
        self._key = KeyPattern(pattern, given.get("rename", ""))
        self._renames = "rename" in given
        self._meter = matcher(given.get("meter", "*"))
        self._stay = stay
        self._drop = _all(given.get("drop_dimensions", ()))
        self._keep = (
            _all(given["keep_dimensions"]) if "keep_dimensions" in given else None
        )
        self._replace = [
            (_clean(name), _replacing(each))
            for name, each in given.get("replace", {}).items()
        ]
        self.deny: bool = given.get("deny", False)
        self.allow: bool = given.get("allow", False)
        self.level: int | None = (
            checked_level(given["level"]) if "level" in given else None
        )
        cap: Any = given.get("cap", {})
        self.folds: bool = cap == "auto"
        most: Mapping[str, int] = {} if self.folds else cap
        self.caps: dict[str, int] = {
            _clean(name): number for name, number in most.items()
        }
        self.dimensions: list[tuple[str, Matches]] = [
            (_clean(name), matcher(each))
            for name, each in given.get("dimensions", {}).items()
        ]
        #: By metric key and the name of the meter.
        self.selects: Callable[[str, str], bool] = lru_cache(_MOST_MATCHES)(
            self._selects
        )

    @property
    def decides(self) -> bool:
        """Whether it changes what an instrument may record, or what later rules do."""
        return self.deny or self.allow or self.level is not None or self._renames

    def _selects(self, key: str, scope: str) -> bool:
        return bool(self._key.matches(key)) and bool(self._meter(scope))

    def has_dimensions(self, pairs: Mapping[str, str]) -> bool:
        """Return whether *pairs* meet the conditions on dimensions."""
        return all(
            name in pairs and match(pairs[name]) for name, match in self.dimensions
        )

    def renamed(self, key: str) -> tuple[str, dict[str, str]]:
        """Return the next key, and the dimensions that parts of *key* make."""
        return self._key.renamed(key) if self._renames else (key, {})

    def changed(self, pairs: dict[str, str], reject: Reject) -> dict[str, str]:
        """Return *pairs* without those to drop, and with replaced values."""
        pairs = {
            name: value for name, value in pairs.items() if not _any(self._drop, name)
        }
        if self._keep is not None:
            pairs = {
                name: value
                for name, value in pairs.items()
                if name in self._stay or name.startswith(_OWN) or _any(self._keep, name)
            }
        for name, replaced in self._replace:
            if name in pairs:
                text = clean_dimension_value(replaced(pairs.pop(name), reject))
                if text:
                    pairs[name] = text
        return pairs


def _clean(name: str) -> str:
    return clean_dimension_key(name) or name


def _all(patterns: Sequence[str]) -> list[Matches]:
    return [matcher(each) for each in patterns]


def _any(patterns: Sequence[Matches], text: str) -> bool:
    return any(matches(text) for matches in patterns)


def _replacing(replacement: Replacement) -> Callable[[str, Reject], str]:
    """Return a function that returns what replaces a value; empty for nothing."""
    if callable(replacement):
        function = replacement

        def call(value: str, reject: Reject) -> str:
            def failed(error: Exception) -> None:
                reject(RULE_FAILED, kind_and_place(error))

            found = call_safely(function, value, default="", on_error=failed)
            return "" if found is None else call_safely(text_of, found, default="")

        return call
    patterns = [(matcher(each), text) for each, text in replacement.items()]

    def look_up(value: str, _reject: Reject) -> str:
        return next((text for matches, text in patterns if matches(value)), value)

    return look_up

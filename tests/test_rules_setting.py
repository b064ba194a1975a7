from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.config import Config
from dtmetrics._record.rule import Rule
from dtmetrics._record.rules import Rules
from dtmetrics._record.source import Source
from dtmetrics.errors import ConfigError


def problems(**settings: Any) -> list[str]:
    """Return the sentences of the ConfigError that *settings* cause."""
    with pytest.raises(ConfigError) as caught:
        Config.resolve(settings, {})
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("deny", "rules[0] must be a mapping, got 'deny'"),
        ({}, "rules[0] must have an action: deny, allow, level, rename, drop_dimensions, "
         "keep_dimensions, replace, cap, got an empty mapping"),
        ({"key": "a"}, "rules[0] must have an action: deny, allow, level, rename, "
         "drop_dimensions, keep_dimensions, replace, cap, got key"),
        ({"kye": "a", "deny": True}, "rules[0] must have only keys among key, meter, "
         "dimensions, deny, allow, level, rename, drop_dimensions, keep_dimensions, "
         "replace, cap, got 'kye' (did you mean key?)"),
        ({7: "a", "deny": True}, "rules[0] must have only keys among key, meter, "
         "dimensions, deny, allow, level, rename, drop_dimensions, keep_dimensions, "
         "replace, cap, got 7"),
        ({"deny": False}, "rules[0].deny must be True, got False"),
        ({"deny": True, "level": 1}, "rules[0] must have no other action beside deny, "
         "got deny, level"),
        ({"key": "", "deny": True}, "rules[0].key must be a text, got ''"),
        ({"meter": 7, "deny": True}, "rules[0].meter must be a text, got 7"),
        ({"key": "a" * 251, "deny": True}, "rules[0].key must have at most 250 "
         "characters, got 251 characters"),
        ({"key": "a.$", "deny": True}, "rules[0].key must have a different name after "
         "each $, as in $kid or ${user.id}, got 'a.$'"),
        ({"key": "$a.$a", "deny": True}, "rules[0].key must have a different name after "
         "each $, as in $kid or ${user.id}, got '$a.$a'"),
        ({"key": "${...}", "deny": True}, "rules[0].key must have only names with a "
         "letter, digit or underscore, got '${...}'"),
        ({"key": "*" * 11, "deny": True}, "rules[0].key must have at most 10 of * and $, "
         "got '***********'"),
        ({"dimensions": {}, "deny": True}, "rules[0].dimensions must be a mapping with "
         "dimensions as keys, got an object of type dict"),
        ({"dimensions": {"": "a"}, "deny": True}, "rules[0].dimensions must have only str "
         "keys with a letter, digit or underscore, got ''"),
        ({"dimensions": {"a": 7}, "deny": True},
         "rules[0].dimensions['a'] must be a text, got 7"),
        ({"level": "WARNNG"}, "rules[0].level must be a logging level name or an int, "
         "got 'WARNNG' (did you mean WARNING?)"),
        ({"level": None},
         "rules[0].level must be a logging level name or an int, got None"),
        ({"rename": "a"}, "rules[0].rename must come with a key that it renames, got 'a'"),
        ({"key": "a", "rename": "b.$c"}, "rules[0].rename must have only names that key "
         "has, and key has no $c, got 'b.$c'"),
        ({"key": "a", "rename": "b.*"},
         "rules[0].rename must have at most as many * as key has, got 'b.*'"),
        ({"key": "a", "rename": "..."}, "rules[0].rename must begin with a letter or an "
         "underscore, got '...'"),
        ({"key": "a", "rename": "dt.a"}, "rules[0].rename must not begin with 'dt.', "
         "which is reserved, got 'dt.a'"),
        ({"drop_dimensions": "a"},
         "rules[0].drop_dimensions must be a list of patterns, got 'a'"),
        ({"keep_dimensions": ["a", 7]},
         "rules[0].keep_dimensions[1] must be a text, got 7"),
        ({"replace": {"a": "b"}}, "rules[0].replace['a'] must be a function, or a mapping "
         "of patterns to values, got 'b'"),
        ({"replace": {"a": {"*": 7}}},
         "rules[0].replace['a'] must have texts as patterns and values, got 7"),
        ({"cap": 7}, "rules[0].cap must be 'auto' or a mapping of dimensions to a number "
         "of values, got 7"),
        ({"cap": {"a": 0}}, "rules[0].cap['a'] must be an int of at least 1, got 0"),
        ({"cap": {"a": True}}, "rules[0].cap['a'] must be an int of at least 1, got True"),
    ],
)  # fmt: skip
def test_problems(rule: Any, problem: str) -> None:
    """Each fault of a rule is an error that names its place."""
    assert problems(rules=[rule]) == [problem]


def test_valid() -> None:
    """Valid rules stay what they are, with levels as numbers and lists as tuples."""
    function = str.lower
    given: Any = [
        {"key": "a.$b", "meter": "m", "dimensions": {"a": "*"}, "rename": "a.$b"},
        {"allow": True, "level": "DEBUG", "drop_dimensions": ["a"], "cap": "auto"},
        {"replace": {"a": {"b": "c"}, "d": function}, "cap": {"a": 3}},
    ]
    config = Config.resolve({"rules": given, "cap": "auto"}, {})
    assert config.cap == "auto"
    assert config.rules == (
        given[0],
        {**given[1], "level": 10, "drop_dimensions": ("a",)},
        given[2],
    )
    empty = Config.resolve({"rules": None, "cap": None}, {})
    assert (empty.rules, empty.cap) == ((), None)


def test_all_at_once() -> None:
    """Every fault of every rule is reported, beside those of other settings."""
    given: Any = [
        {"kee": "a", "drop": ["b"], "cap": {"x": 0, "y": "z"}},
        {"deny": True},
        {"drop_dimensions": [1, "a", 2]},
    ]
    found = problems(rules=given, interval=-1, cap="never")
    assert [each.split(" ")[0] for each in found] == [
        "rules[0]",
        "rules[0]",
        "rules[0].cap['x']",
        "rules[0].cap['y']",
        "rules[2].drop_dimensions[0]",
        "rules[2].drop_dimensions[2]",
        "interval",
        "cap",
    ]


@pytest.mark.parametrize("value", ["[", "{}", '"deny"', 7, {"key": "a"}, {1, 2}])
def test_not_a_list(value: Any) -> None:
    """Rules that are not a list, or a text of one in JSON, are an error."""
    [problem] = problems(rules=value)
    assert problem.startswith("rules must be a list of rules, each a mapping, got")


def test_token() -> None:
    """A token that stands in a rule by mistake is not shown."""
    token = "dt0c01.ABCDEFGHIJKLMNOPQRSTUVWX." + "A" * 64
    for rule in (
        {"cap": {token: "x"}},
        {token: "x", "deny": True},
        {"replace": {"a": {"b": 7}, token: 7}},
    ):
        assert token not in " ".join(problems(rules=[rule]))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from("*$?"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["a", "user.id"]), inner
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*Rule.__annotations__, "other"]), anything),
        max_size=3,
    )
)
def test_any_rules(given: Any) -> None:
    """Any mappings are either rules that can be compiled, or a ConfigError."""
    with suppress(ConfigError):
        config = Config.resolve({"rules": given}, {})
        source = Source("a", "", 20)
        assert Rules(config.rules).enabled(source, 20) in (True, False, None)

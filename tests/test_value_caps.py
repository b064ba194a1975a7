from __future__ import annotations

from dtmetrics._record.value_caps import OTHER, ValueCaps


def test_each_key_and_dimension() -> None:
    """Values are counted for each metric key and dimension."""
    caps = ValueCaps()
    for key, dimension in (("a", "x"), ("a", "y"), ("b", "x")):
        found = [caps.capped(key, dimension, value, 2) for value in "1213"]
        assert found == ["1", "2", "1", OTHER]


def test_values_of_series_that_are_gone() -> None:
    """A value that no series has any more leaves room for another one."""
    caps = ValueCaps()
    for key in "ab":
        for value in "12":
            caps.capped(key, "x", value, 2)
        caps.end(key, "y", "1")
    assert caps.keep_only("a", [{"x": "2"}, {}])
    assert not caps.keep_only("a", [{"x": "2"}])
    assert [caps.capped("a", "x", value, 2) for value in "132"] == ["1", OTHER, "2"]
    assert caps.capped("b", "x", "3", 2) == OTHER
    assert (caps.ended("a"), caps.ended("b")) == ({}, {"y": frozenset("1")})

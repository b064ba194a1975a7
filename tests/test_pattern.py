from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.pattern import KeyPattern, matcher

texts = st.text("ab.[*?", max_size=8)


@given(texts, texts)
def test_matcher(pattern: str, text: str) -> None:
    """Stars and question marks match as in a shell, and brackets stand for themselves."""
    expected = fnmatchcase(text, pattern.replace("[", "[[]"))
    assert bool(matcher(pattern)(text)) == expected
    assert bool(KeyPattern(pattern, "x").matches(text)) == expected


def test_renamed() -> None:
    """Names and stars of the key stand in the new one, or make dimensions."""
    pattern = KeyPattern("a.$one.*.${two.b}.?", "b.*.$one.*")
    assert pattern.matches("a.1.x.y.2.z")
    assert pattern.renamed("a.1.x.y.2.z") == ("b.x.y._1.z", {"two.b": "2"})
    assert not pattern.matches("a.1.2.z")


def test_parts_have_no_dots() -> None:
    """A name stands for one part of the key."""
    assert KeyPattern("a.$one").matches("a.b")
    assert not KeyPattern("a.$one").matches("a.b.c")
    assert not KeyPattern("a.$one").matches("a.")


def test_no_key() -> None:
    """A key stays where nothing valid would be left of it."""
    assert KeyPattern("a*", "*").renamed("a") == ("a", {})

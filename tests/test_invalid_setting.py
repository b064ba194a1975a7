from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._config.invalid_setting import InvalidSettingError, describe
from dtmetrics._core.secret import Secret


class Hostile:
    """An object that cannot be printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("abc", "'abc'"),
        ("a\nb\u202e", r"'a\nb\u202e'"),
        (-1, "-1"),
        (2.5, "2.5"),
        (None, "None"),
        (True, "True"),
        (10**5_000, "an int of 16610 bits"),
        (b"abc", "an object of type bytes"),
        ([60], "an object of type list"),
        (Hostile(), "an object of type Hostile"),
        (Hostile, "the class Hostile"),
        (type("a\nb", (), {}), "the class a?b"),
        (Secret("abc"), "***"),
    ],
    ids=range(13),
)
def test_describe(value: object, text: str) -> None:
    """A plain value is shown as it is, any other by its type."""
    assert describe(value) == text


@given(st.text() | st.integers() | st.floats() | st.text(min_size=200))
def test_description_is_bounded(value: object) -> None:
    """The description of any value is one short printable line."""
    text = describe(value)
    assert 0 < len(text) < 700  # 60 characters of 10 each, where each is escaped
    assert text.isprintable()


@pytest.mark.parametrize("text", ["dt0c01.AB.CD", "x dt0s16.AB", "https://dt0c01.ab"])
def test_token_like_text_is_hidden(text: str) -> None:
    """A text that contains what looks like a token is hidden as a whole."""
    assert describe(text) == "***"


@given(st.text(), st.text(), st.text(min_size=1).filter(str.strip))
def test_given_token_is_hidden(before: str, after: str, token: str) -> None:
    """A text that contains the token, in either case, is hidden as a whole."""
    assert describe(before + token + after, token) == "***"


def test_sentence() -> None:
    """A sentence names the source and key, the requirement, the value and the hint."""
    error = InvalidSettingError("be an int", "x", hint="1", key="shop.db")
    expected = "levels['shop.db'] must be an int, got 'x' (did you mean 1?)"
    assert error.sentence("levels") == expected
    described = InvalidSettingError("be a str", got="4 characters")
    assert described.sentence("DTMETRICS_TOKEN") == (
        "DTMETRICS_TOKEN must be a str, got 4 characters"
    )


def test_error_itself_shows_no_value() -> None:
    """The exception, which a debugger may show, names the requirement alone."""
    error = InvalidSettingError("be a URL", "SECRET", hint="SECRET")
    assert "SECRET" not in repr(error) + str(error) + repr(error.args)


def test_hint_with_a_token_is_left_out() -> None:
    """A hint that would show the token is left out."""
    error = InvalidSettingError("be a URL", "x", hint="https://a.example/SECRET")
    assert re.fullmatch(
        "endpoint must be a URL, got 'x'", error.sentence("endpoint", "secret")
    )

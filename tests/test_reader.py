from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dtmetrics._protocol.reader import Reader, RejectedLineError
from tests.support.strategies import texts

lines = texts | st.text("ab,= ", max_size=12)


def rejection(
    reader: Reader, problem: str, index: int | None = None
) -> tuple[str, int]:
    """Reject the line; return the message and the index."""
    with pytest.raises(RejectedLineError) as caught:
        reader.reject(problem, index)
    assert str(caught.value) == caught.value.rejection.message
    return caught.value.rejection


@given(st.lists(st.text("ab,= ", min_size=1, max_size=4), max_size=6))
def test_steps_through_a_line(parts: list[str]) -> None:
    """A line is read part by part, and is at its end after the last part only."""
    reader = Reader("".join(parts))
    for part in parts:
        assert not reader.at_end()
        assert reader.next_is(part[0])
        assert reader.skip(part)
    assert reader.at_end()


@given(lines, st.data())
def test_skips_what_comes_next_or_nothing(line: str, data: st.DataObject) -> None:
    """A text is stepped over only if it comes next."""
    reader = Reader(line)
    reader.position = data.draw(st.integers(0, len(line)))
    text = data.draw(st.text("ab,= ", max_size=3) | st.sampled_from([line, line[1:]]))
    before = reader.position
    is_next = line[before : before + len(text)] == text
    assert reader.skip(text) == is_next
    assert reader.position == before + len(text) * is_next


@given(lines, st.data())
def test_expects(line: str, data: st.DataObject) -> None:
    """An expected text is stepped over; without it the line is rejected there."""
    reader = Reader(line)
    reader.position = data.draw(st.integers(0, len(line)))
    reader.expect(line[reader.position :][:2], "unused")
    at = reader.position
    missing = "not in any line here"
    assume(missing not in line)
    with pytest.raises(RejectedLineError) as caught:
        reader.expect(missing, "problem")
    assert caught.value.rejection.index == at == reader.position


@given(lines, st.data())
def test_takes_what_matches_here(line: str, data: st.DataObject) -> None:
    """A pattern is matched at the position, and the matched text is stepped over."""
    reader = Reader(line)
    at = reader.position = data.draw(st.integers(0, len(line)))
    text = reader.take(re.compile("[ab]+"))
    count = 0
    while line[at + count : at + count + 1] in ("a", "b"):
        count += 1
    assert text == line[at : at + count]
    assert reader.position == at + count


def test_at_the_end() -> None:
    """At the end of a line nothing comes next, and a rejection names the end."""
    reader = Reader("a")
    assert reader.skip("a")
    assert not reader.next_is("abc")
    assert not reader.next_is("")
    assert reader.take(re.compile("a+")) == ""
    assert rejection(reader, "problem") == ("unexpected end of input", 1)
    assert rejection(reader, "problem", index=0) == (
        "problem message 'a'; error at 'a'  (index 0)",
        0,
    )


@given(lines.filter(bool), st.data())
def test_rejections_can_be_logged(line: str, data: st.DataObject) -> None:
    """A rejection has the index, an excerpt of at most 200 characters, and no controls."""
    at = data.draw(st.integers(0, len(line) - 1))
    message, index = rejection(Reader(line), "problem", at)
    assert index == at
    assert len(message.splitlines()) == 1
    assert message.encode()
    assert not re.search("[\x00-\x1f\x7f-\x9f]", message)
    match = re.fullmatch(
        r"problem message '(.*)'; error at '(.)'  \(index (\d+)\)", message
    )
    assert match
    excerpt, character, place = match.groups()
    assert len(excerpt) <= 200
    assert int(place) == at
    assert character in (line[at], "?")
    assert character in excerpt

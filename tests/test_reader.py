from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dtmetrics._protocol.reader import Reader, RejectedLineError
from tests.support.strategies import texts

lines = texts | st.text("ab,= ", max_size=12)


def refused(reader: Reader, fault: str, at: int | None = None) -> tuple[str, int]:
    """Refuse; return the message and the place."""
    with pytest.raises(RejectedLineError) as caught:
        reader.reject(fault, at)
    assert str(caught.value) == caught.value.rejection.message
    return caught.value.rejection


@given(st.lists(st.text("ab,= ", min_size=1, max_size=4), max_size=6))
def test_steps_through_a_line(parts: list[str]) -> None:
    """A line is read part by part, and is done at its end and not before."""
    reader = Reader("".join(parts))
    for part in parts:
        assert not reader.at_end()
        assert reader.next_is(part[0])
        assert reader.skip(part)
    assert reader.at_end()


@given(lines, st.data())
def test_skips_what_comes_next_or_nothing(line: str, data: st.DataObject) -> None:
    """What does not come next is not stepped over, wherever else it stands."""
    reader = Reader(line)
    reader.position = data.draw(st.integers(0, len(line)))
    text = data.draw(st.text("ab,= ", max_size=3) | st.sampled_from([line, line[1:]]))
    before = reader.position
    comes = line[before : before + len(text)] == text
    assert reader.skip(text) == comes
    assert reader.position == before + len(text) * comes


@given(lines, st.data())
def test_expects(line: str, data: st.DataObject) -> None:
    """What has to come next is stepped over; else the line is refused where it is."""
    reader = Reader(line)
    reader.position = data.draw(st.integers(0, len(line)))
    reader.expect(line[reader.position :][:2], "never said")
    at = reader.position
    wanted = "no such text in any line here"
    assume(wanted not in line)
    with pytest.raises(RejectedLineError) as caught:
        reader.expect(wanted, "fault")
    assert caught.value.rejection.index == at == reader.position


@given(lines, st.data())
def test_takes_what_matches_here(line: str, data: st.DataObject) -> None:
    """A pattern is matched here, not further on; what it matches is stepped over."""
    reader = Reader(line)
    at = reader.position = data.draw(st.integers(0, len(line)))
    taken = reader.take(re.compile("[ab]+"))
    count = 0
    while line[at + count : at + count + 1] in ("a", "b"):
        count += 1
    assert taken == line[at : at + count]
    assert reader.position == at + count


def test_at_the_end() -> None:
    """At the end nothing comes next, and what is missing is said to be the end."""
    reader = Reader("a")
    assert reader.skip("a")
    assert not reader.next_is("abc")
    assert not reader.next_is("")
    assert reader.take(re.compile("a+")) == ""
    assert refused(reader, "fault") == ("unexpected end of input", 1)
    assert refused(reader, "fault", at=0) == (
        "fault message 'a'; error at 'a'  (index 0)",
        0,
    )


@given(lines.filter(bool), st.data())
def test_refusals_can_be_logged(line: str, data: st.DataObject) -> None:
    """A refusal names its place, quotes no more than 200 characters, and is one line.

    It holds no control character and no half of a pair, so any log can hold it.
    """
    at = data.draw(st.integers(0, len(line) - 1))
    message, index = refused(Reader(line), "fault", at)
    assert index == at
    assert len(message.splitlines()) == 1
    assert message.encode()
    assert not re.search("[\x00-\x1f\x7f-\x9f]", message)
    match = re.fullmatch(
        r"fault message '(.*)'; error at '(.)'  \(index (\d+)\)", message
    )
    assert match
    quoted, character, place = match.groups()
    assert len(quoted) <= 200
    assert int(place) == at
    assert character in (line[at], "?")
    assert character in quoted

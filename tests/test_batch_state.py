"""The table of states: its rendering, and each of its cells on a real outbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from dtmetrics._deliver import batch_state
from dtmetrics._deliver.batch_state import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    MOST_SPLITS,
    Event,
    NextAttempt,
    State,
    Transition,
)
from dtmetrics._deliver.outbox import Outbox
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT

HOUR_MS = 3_600_000
FINAL = {State.ANSWERED, State.SPLIT, State.DROPPED}
WAITING = {State.QUEUED, State.IN_FLIGHT, State.INDETERMINATE, State.RESENDING}
SENT = {State.IN_FLIGHT, State.RESENDING}
OUTCOMES = {Event[outcome.name] for outcome in Outcome}

#: A batch enters the outbox only once, and is new until then.
ENTRANCES = {Event.COLLECTED, Event.RECOVERED, Event.LEFT_IN_FLIGHT, Event.HALVED}

Cell = tuple[State, Event]


# -- the docstring and the dictionary -----------------------------------------------


def rows_of(table: list[str]) -> Iterator[tuple[Cell, Transition]]:
    """Yield the cells of a table's lines, by the width of its columns."""
    ruler, *lines = table
    ends = [
        n for n, each in enumerate(ruler) if each == "=" and ruler[n + 1 : n + 2] != "="
    ]
    starts = [0, *(ruler.index("=", end + 1) for end in ends[:-1])]
    for line in lines:
        states, event, state, reason, next_attempt = (
            line[start : end + 1].strip()
            for start, end in zip(starts, ends, strict=True)
        )
        for each in states.split(", "):
            yield (
                (State(each), Event(event)),
                Transition(
                    State(state),
                    reason,
                    NextAttempt(next_attempt) if next_attempt else None,
                ),
            )


def tables() -> list[dict[Cell, Transition]]:
    """Return the two tables of the docstring."""
    text = batch_state.__doc__
    assert text is not None
    lines = text.splitlines()
    rulers = [n for n, line in enumerate(lines) if line.startswith("===")]
    # The first ruler is above the header of the first table.
    return [
        dict(rows_of(lines[start:end])) for start, end in (rulers[1:3], rulers[3:5])
    ]


def test_docstring() -> None:
    """The docstring's tables and the dictionaries agree, cell by cell."""
    at_least_once, at_most_once = tables()
    assert at_least_once == AT_LEAST_ONCE
    assert at_least_once | at_most_once == AT_MOST_ONCE
    changed = {
        cell for cell in AT_MOST_ONCE if AT_LEAST_ONCE[cell] != AT_MOST_ONCE[cell]
    }
    assert set(at_most_once) == changed


@pytest.mark.parametrize("table", [AT_LEAST_ONCE, AT_MOST_ONCE])
def test_is_complete(table: Mapping[Cell, Transition]) -> None:
    """Each event of a batch that is sent, and of one that waits, has its cell."""
    for state in WAITING:
        events = {event for cell, event in table if cell is state}
        if state in SENT:
            assert events == OUTCOMES | {
                Event.INTERRUPTED,
                Event.LINE_TOO_LARGE,
                Event.LINE_MALFORMED,
            }
        else:
            assert events == {Event.ATTEMPT, Event.TOO_OLD, Event.OUTBOX_FULL}
    assert not FINAL & {state for state, _ in table}


@pytest.mark.parametrize("table", [AT_LEAST_ONCE, AT_MOST_ONCE])
def test_is_consistent(table: Mapping[Cell, Transition]) -> None:
    """A reason is counted exactly for what is dropped; each outcome has a next attempt."""
    for (state, _), transition in table.items():
        assert bool(transition.reason) == (transition.state is State.DROPPED)
        assert (transition.next_attempt is not None) == (state in SENT)


def test_at_most_once_never_resends() -> None:
    """With ``at_most_once`` no path leads from an unknown outcome to a second attempt."""
    reached, before = {State.NEW}, set[State]()
    while reached != before:
        before = set(reached)
        reached |= {
            to.state for (state, _), to in AT_MOST_ONCE.items() if state in before
        }
    assert State.INDETERMINATE not in reached
    assert State.RESENDING not in reached


# -- each cell, on an outbox --------------------------------------------------------


def outbox_with(state: State, batch: Batch, *, resend: bool) -> Outbox:
    """Return an outbox that holds *batch* in *state*, and another one behind it."""
    outbox = Outbox(resend=resend)
    if state in (State.INDETERMINATE, State.RESENDING):
        # Not by the cells that at_most_once changes: it never leads to these states.
        outbox._table = AT_LEAST_ONCE
        outbox.recover(batch, in_flight=True)
        outbox._table = AT_LEAST_ONCE if resend else AT_MOST_ONCE
    else:
        outbox.put(batch)
    outbox.put(Batch(b"#behind", (), MOMENT + HOUR_MS))
    if state in SENT:
        assert outbox.begin_attempt(MOMENT) is batch
    assert state_of(outbox, batch) is state
    return outbox


def state_of(outbox: Outbox, batch: Batch) -> State | None:
    """Return the state of *batch*, if it is in the outbox."""
    for entry in (*outbox._queue, outbox._in_flight):
        if entry is not None and entry.batch is batch:
            return entry.state
    return None


def cause(outbox: Outbox, batch: Batch, event: Event) -> NextAttempt | None:
    """Let *event* happen to *batch*, as far as it can; return the next attempt."""
    if event is Event.ATTEMPT:
        outbox.begin_attempt(MOMENT)
    elif event is Event.TOO_OLD:
        outbox.begin_attempt(MOMENT + HOUR_MS)
    elif event is Event.OUTBOX_FULL:
        outbox._max_bytes = outbox._bytes
        outbox.put(Batch(b"#new", (), MOMENT + HOUR_MS))
    elif event is Event.INTERRUPTED:
        return outbox.interrupt(batch)
    elif event in (Event.LINE_TOO_LARGE, Event.LINE_MALFORMED):
        outbox._counts.unread_in_a_row = MOST_SPLITS - 1
        outcome = Outcome[event.name.removeprefix("LINE_")]
        return outbox.settle(batch, ExportResult(outcome))
    else:
        return outbox.settle(batch, ExportResult(Outcome[event.name]))
    return None


def state_after(outbox: Outbox, batch: Batch) -> tuple[State, str]:
    """Return the state of *batch* after an event, and the reason counted, if any."""
    account = outbox.account()
    reasons = [reason for reason, points in account.dropped.items() if points]
    state = state_of(outbox, batch)
    if state is not None:
        assert not reasons
        return state, ""
    if reasons:
        assert account.dropped == {reasons[0]: batch.points}
        return State.DROPPED, reasons[0]
    if account.accepted:
        return State.ANSWERED, ""
    halves = [entry for entry in outbox._queue if entry.batch.created_ms == MOMENT]
    assert b"\n".join(half.batch.text for half in halves) == batch.text
    assert {half.state for half in halves} == {State.QUEUED}
    return State.SPLIT, ""


#: Every pair, but for those of new batches and of attempts that follow one another.
CELLS = [
    (state, event)
    for state in sorted(WAITING, key=lambda state: state.value)
    for event in Event
    if event not in ENTRANCES
    and not (state in SENT and event in (Event.ATTEMPT, Event.TOO_OLD))
]


@pytest.mark.parametrize("resend", [True, False])
@pytest.mark.parametrize(("state", "event"), CELLS)
def test_each_cell(state: State, event: Event, resend: bool) -> None:
    """Each event has the effect of its row in the table; an impossible one has none."""
    batch = a_batch("a gauge,1", "b gauge,1")
    outbox = outbox_with(state, batch, resend=resend)
    next_attempt = cause(outbox, batch, event)
    expected = (AT_LEAST_ONCE if resend else AT_MOST_ONCE).get((state, event))
    if expected is None:
        assert state_after(outbox, batch) == (state, "")
    else:
        assert state_after(outbox, batch) == (expected.state, expected.reason)
        assert next_attempt == expected.next_attempt


@pytest.mark.parametrize("resend", [True, False])
@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.RESENDING])
def test_attempt_after_an_attempt(state: State, resend: bool) -> None:
    """A batch that is in flight when the next attempt begins was interrupted."""
    batch = a_batch("a gauge,1", "b gauge,1")
    outbox = outbox_with(state, batch, resend=resend)
    table = AT_LEAST_ONCE if resend else AT_MOST_ONCE
    interrupted = table[state, Event.INTERRUPTED]
    sent = outbox.begin_attempt(MOMENT)
    if interrupted.state is State.DROPPED:
        assert sent is not batch
        assert state_after(outbox, batch) == (State.DROPPED, interrupted.reason)
    else:
        assert sent is batch
        assert state_of(outbox, batch) is table[interrupted.state, Event.ATTEMPT].state


@pytest.mark.parametrize("resend", [True, False])
@pytest.mark.parametrize(
    "event", [Event.COLLECTED, Event.RECOVERED, Event.LEFT_IN_FLIGHT]
)
def test_each_entrance(event: Event, resend: bool) -> None:
    """A batch that enters the outbox gets the state of its row in the table."""
    outbox, batch = Outbox(resend=resend), a_batch("a gauge,1", "b gauge,1")
    if event is Event.COLLECTED:
        outbox.put(batch)
    else:
        outbox.recover(batch, in_flight=event is Event.LEFT_IN_FLIGHT)
    expected = (AT_LEAST_ONCE if resend else AT_MOST_ONCE)[State.NEW, event]
    assert state_after(outbox, batch) == (expected.state, expected.reason)
    assert outbox.account().collected == 2

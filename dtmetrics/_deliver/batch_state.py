"""The states of a batch: the table by which the outbox decides what becomes of it.

======================  ==============  =============  ==============  =============
state                   event           new state      reason counted  next attempt
======================  ==============  =============  ==============  =============
new                     collected       queued
new                     recovered       queued
new                     left in flight  indeterminate
new                     halved          queued
queued                  attempt begins  in flight
indeterminate           attempt begins  resending
queued, indeterminate   too old         dropped        too old
queued, indeterminate   outbox full     dropped        outbox full
in flight, resending    answered        answered                       at once
in flight               retry           queued                         after backoff
resending               retry           indeterminate                  after backoff
in flight               throttled       queued                         when asked
resending               throttled       indeterminate                  when asked
in flight               misconfigured   queued                         slow backoff
resending               misconfigured   indeterminate                  slow backoff
in flight               indeterminate   indeterminate                  after a probe
resending               indeterminate   dropped        indeterminate   after a probe
in flight               interrupted     indeterminate                  after a probe
resending               interrupted     dropped        indeterminate   after a probe
in flight, resending    too large       split                          at once
in flight, resending    line too large  dropped        too large       at once
in flight, resending    malformed       split                          at once
in flight, resending    line malformed  dropped        malformed       at once
in flight, resending    rejected        dropped        rejected batch  at once
======================  ==============  =============  ==============  =============

Every other pair is impossible and changes nothing, but for one: a batch that is still
in flight when the next attempt begins was interrupted. With ``delivery="at_most_once"``
no batch is sent twice, so three rows read differently:

======================  ==============  =============  ==============  =============
new                     left in flight  dropped        indeterminate
in flight               indeterminate   dropped        indeterminate   after a probe
in flight               interrupted     dropped        indeterminate   after a probe
======================  ==============  =============  ==============  =============

Batches that are queued, in flight, indeterminate or resending are counted in
``stats().waiting``; answered, split and dropped are final. The next attempt is the
next request of the outbox, for this batch or for the one behind it;
`dtmetrics._deliver.backoff` decides its time.

A batch of more than one line that is too large or malformed is split: its halves take
its place. "Line too large" and "line malformed" are the same outcomes for a batch that
is not split, because it has one line, or because the endpoint has answered
`MOST_SPLITS` requests in a row with one of the two. So one bad line among 1,000 costs
about 20 requests, and an endpoint that takes nothing costs one request a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import NamedTuple

__all__ = [
    "AT_LEAST_ONCE",
    "AT_MOST_ONCE",
    "MOST_SPLITS",
    "Event",
    "NextAttempt",
    "State",
    "Transition",
]

#: One bad line among 1,000 is found after 11 such outcomes in a row at most, four that
#: stand together after 15.
MOST_SPLITS = 16


class State(Enum):
    """Where a batch is on its way to the endpoint."""

    #: Not in the outbox yet.
    NEW = "new"
    #: It waits, and the endpoint has certainly not taken it.
    QUEUED = "queued"
    #: Its first attempt is under way, or the first after it was certainly not taken.
    IN_FLIGHT = "in flight"
    #: It waits, and the endpoint may have taken it.
    INDETERMINATE = "indeterminate"
    #: It is sent again after an attempt whose outcome is unknown.
    RESENDING = "resending"
    #: Each of its lines was accepted or rejected.
    ANSWERED = "answered"
    #: Two halves have taken its place.
    SPLIT = "split"
    #: Its points were discarded, and counted by reason.
    DROPPED = "dropped"


class Event(Enum):
    """What happens to a batch. The names of outcomes are those of `Outcome`."""

    #: Collected from the registry.
    COLLECTED = "collected"
    #: Recovered from the spool of a dead process, which was not sending it.
    RECOVERED = "recovered"
    #: The same, and the process died while it was sending the batch.
    LEFT_IN_FLIGHT = "left in flight"
    #: Made from a batch that was split.
    HALVED = "halved"
    #: The sender takes it to the exporter.
    ATTEMPT = "attempt begins"
    ANSWERED = "answered"
    RETRY = "retry"
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    INDETERMINATE = "indeterminate"
    #: The attempt ended without an outcome: Ctrl-C, or a signal handler that raises.
    INTERRUPTED = "interrupted"
    TOO_LARGE = "too large"
    #: Too large, and not to be split.
    LINE_TOO_LARGE = "line too large"
    MALFORMED = "malformed"
    #: Malformed, and not to be split.
    LINE_MALFORMED = "line malformed"
    REJECTED = "rejected"
    #: The endpoint would reject its points: they are from about an hour ago.
    TOO_OLD = "too old"
    #: It is the oldest, and the outbox holds too many bytes.
    OUTBOX_FULL = "outbox full"


class NextAttempt(Enum):
    """When the outbox's next request may go out."""

    AT_ONCE = "at once"
    #: After an exponential backoff with jitter.
    AFTER_BACKOFF = "after backoff"
    #: After the time that the endpoint named, or else a backoff.
    WHEN_ASKED = "when asked"
    #: After minutes: a setting has to change first.
    SLOW_BACKOFF = "slow backoff"
    #: After a backoff, and once the endpoint has answered a harmless line.
    AFTER_PROBE = "after a probe"


class Transition(NamedTuple):
    """The right half of a row."""

    state: State
    #: The key of ``stats().dropped`` under which the points are counted, if any.
    reason: str = ""
    #: None where no request has been made.
    next_attempt: NextAttempt | None = None


Table = Mapping[tuple[State, Event], Transition]


def _table(*rows: tuple[Collection[State], Event, Transition]) -> Table:
    return {(state, event): to for states, event, to in rows for state in states}


_NEW, _QUEUED, _INDETERMINATE = [State.NEW], [State.QUEUED], [State.INDETERMINATE]
_IN_FLIGHT, _RESENDING = [State.IN_FLIGHT], [State.RESENDING]
_SENT = [State.IN_FLIGHT, State.RESENDING]
_WAITS = [State.QUEUED, State.INDETERMINATE]

_BACKOFF, _PROBE = NextAttempt.AFTER_BACKOFF, NextAttempt.AFTER_PROBE
_ASKED, _SLOW = NextAttempt.WHEN_ASKED, NextAttempt.SLOW_BACKOFF
_SPLIT = Transition(State.SPLIT, "", NextAttempt.AT_ONCE)
_ANSWERED = Transition(State.ANSWERED, "", NextAttempt.AT_ONCE)


def _to(state: State, next_attempt: NextAttempt | None = None) -> Transition:
    return Transition(state, "", next_attempt)


def _drop(
    reason: str, next_attempt: NextAttempt | None = NextAttempt.AT_ONCE
) -> Transition:
    return Transition(State.DROPPED, reason, next_attempt)


AT_LEAST_ONCE: Table = _table(
    (_NEW, Event.COLLECTED, _to(State.QUEUED)),
    (_NEW, Event.RECOVERED, _to(State.QUEUED)),
    (_NEW, Event.LEFT_IN_FLIGHT, _to(State.INDETERMINATE)),
    (_NEW, Event.HALVED, _to(State.QUEUED)),
    (_QUEUED, Event.ATTEMPT, _to(State.IN_FLIGHT)),
    (_INDETERMINATE, Event.ATTEMPT, _to(State.RESENDING)),
    (_WAITS, Event.TOO_OLD, _drop("too old", None)),
    (_WAITS, Event.OUTBOX_FULL, _drop("outbox full", None)),
    (_SENT, Event.ANSWERED, _ANSWERED),
    # A second attempt that was certainly not taken leaves the first one's outcome
    # unknown. Two unknown outcomes are enough: at most one batch too many an outage.
    (_IN_FLIGHT, Event.RETRY, _to(State.QUEUED, _BACKOFF)),
    (_RESENDING, Event.RETRY, _to(State.INDETERMINATE, _BACKOFF)),
    (_IN_FLIGHT, Event.THROTTLED, _to(State.QUEUED, _ASKED)),
    (_RESENDING, Event.THROTTLED, _to(State.INDETERMINATE, _ASKED)),
    (_IN_FLIGHT, Event.MISCONFIGURED, _to(State.QUEUED, _SLOW)),
    (_RESENDING, Event.MISCONFIGURED, _to(State.INDETERMINATE, _SLOW)),
    (_IN_FLIGHT, Event.INDETERMINATE, _to(State.INDETERMINATE, _PROBE)),
    (_RESENDING, Event.INDETERMINATE, _drop("indeterminate", _PROBE)),
    (_IN_FLIGHT, Event.INTERRUPTED, _to(State.INDETERMINATE, _PROBE)),
    (_RESENDING, Event.INTERRUPTED, _drop("indeterminate", _PROBE)),
    (_SENT, Event.TOO_LARGE, _SPLIT),
    (_SENT, Event.LINE_TOO_LARGE, _drop("too large")),
    (_SENT, Event.MALFORMED, _SPLIT),
    (_SENT, Event.LINE_MALFORMED, _drop("malformed")),
    (_SENT, Event.REJECTED, _drop("rejected batch")),
)

AT_MOST_ONCE: Table = {
    **AT_LEAST_ONCE,
    **_table(
        (_NEW, Event.LEFT_IN_FLIGHT, _drop("indeterminate", None)),
        (_IN_FLIGHT, Event.INDETERMINATE, _drop("indeterminate", _PROBE)),
        (_IN_FLIGHT, Event.INTERRUPTED, _drop("indeterminate", _PROBE)),
    ),
}

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

The five states above the line wait and are counted in ``stats().waiting``; answered,
split and dropped are final. The next attempt is the next request of the outbox, for
this batch or for the one behind it; `dtmetrics._deliver.backoff` decides its time.

A batch of more than one line that is too large or malformed is split: its halves take
its place. "Line too large" and "line malformed" are the same outcomes for a batch that
is not split, because it has one line, or because the endpoint has answered
`MOST_SPLITS` requests in a row with one of the two. So one bad line among 1,000 costs
about 20 requests, and an endpoint that takes nothing costs one request a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

__all__ = [
    "AT_LEAST_ONCE",
    "AT_MOST_ONCE",
    "MOST_SPLITS",
    "WAITING",
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


#: The states of a batch that is in the outbox.
WAITING = frozenset(
    {State.QUEUED, State.IN_FLIGHT, State.INDETERMINATE, State.RESENDING}
)


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

_AT_ONCE, _AFTER_BACKOFF = NextAttempt.AT_ONCE, NextAttempt.AFTER_BACKOFF
_WHEN_ASKED, _SLOW_BACKOFF = NextAttempt.WHEN_ASKED, NextAttempt.SLOW_BACKOFF
_AFTER_PROBE = NextAttempt.AFTER_PROBE

_ANSWERED = Transition(State.ANSWERED, "", _AT_ONCE)
_SPLIT = Transition(State.SPLIT, "", _AT_ONCE)
_TOO_LARGE = Transition(State.DROPPED, "too large", _AT_ONCE)
_MALFORMED = Transition(State.DROPPED, "malformed", _AT_ONCE)
_REJECTED = Transition(State.DROPPED, "rejected batch", _AT_ONCE)
_INDETERMINATE = Transition(State.INDETERMINATE, "", _AFTER_PROBE)
_GIVEN_UP = Transition(State.DROPPED, "indeterminate", _AFTER_PROBE)
_TOO_OLD = Transition(State.DROPPED, "too old")
_FULL = Transition(State.DROPPED, "outbox full")

AT_LEAST_ONCE: Table = {
    (State.NEW, Event.COLLECTED): Transition(State.QUEUED),
    (State.NEW, Event.RECOVERED): Transition(State.QUEUED),
    (State.NEW, Event.LEFT_IN_FLIGHT): Transition(State.INDETERMINATE),
    (State.NEW, Event.HALVED): Transition(State.QUEUED),
    #
    (State.QUEUED, Event.ATTEMPT): Transition(State.IN_FLIGHT),
    (State.QUEUED, Event.TOO_OLD): _TOO_OLD,
    (State.QUEUED, Event.OUTBOX_FULL): _FULL,
    #
    (State.INDETERMINATE, Event.ATTEMPT): Transition(State.RESENDING),
    (State.INDETERMINATE, Event.TOO_OLD): _TOO_OLD,
    (State.INDETERMINATE, Event.OUTBOX_FULL): _FULL,
    #
    (State.IN_FLIGHT, Event.ANSWERED): _ANSWERED,
    (State.IN_FLIGHT, Event.RETRY): Transition(State.QUEUED, "", _AFTER_BACKOFF),
    (State.IN_FLIGHT, Event.THROTTLED): Transition(State.QUEUED, "", _WHEN_ASKED),
    (State.IN_FLIGHT, Event.MISCONFIGURED): Transition(State.QUEUED, "", _SLOW_BACKOFF),
    (State.IN_FLIGHT, Event.INDETERMINATE): _INDETERMINATE,
    (State.IN_FLIGHT, Event.INTERRUPTED): _INDETERMINATE,
    (State.IN_FLIGHT, Event.TOO_LARGE): _SPLIT,
    (State.IN_FLIGHT, Event.LINE_TOO_LARGE): _TOO_LARGE,
    (State.IN_FLIGHT, Event.MALFORMED): _SPLIT,
    (State.IN_FLIGHT, Event.LINE_MALFORMED): _MALFORMED,
    (State.IN_FLIGHT, Event.REJECTED): _REJECTED,
    # A second attempt that was certainly not taken leaves the first one's outcome
    # unknown. Two unknown outcomes are enough: at most one batch too many an outage.
    (State.RESENDING, Event.ANSWERED): _ANSWERED,
    (State.RESENDING, Event.RETRY): Transition(State.INDETERMINATE, "", _AFTER_BACKOFF),
    (State.RESENDING, Event.THROTTLED): Transition(
        State.INDETERMINATE, "", _WHEN_ASKED
    ),
    (State.RESENDING, Event.MISCONFIGURED): Transition(
        State.INDETERMINATE, "", _SLOW_BACKOFF
    ),
    (State.RESENDING, Event.INDETERMINATE): _GIVEN_UP,
    (State.RESENDING, Event.INTERRUPTED): _GIVEN_UP,
    (State.RESENDING, Event.TOO_LARGE): _SPLIT,
    (State.RESENDING, Event.LINE_TOO_LARGE): _TOO_LARGE,
    (State.RESENDING, Event.MALFORMED): _SPLIT,
    (State.RESENDING, Event.LINE_MALFORMED): _MALFORMED,
    (State.RESENDING, Event.REJECTED): _REJECTED,
}

AT_MOST_ONCE: Table = {
    **AT_LEAST_ONCE,
    (State.NEW, Event.LEFT_IN_FLIGHT): Transition(State.DROPPED, "indeterminate"),
    (State.IN_FLIGHT, Event.INDETERMINATE): _GIVEN_UP,
    (State.IN_FLIGHT, Event.INTERRUPTED): _GIVEN_UP,
}

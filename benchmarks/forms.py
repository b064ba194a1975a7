"""The forms in which programs record, beside the one that costs least."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable
from contextvars import Context
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from time import thread_time
from typing import Any

import dtmetrics
from benchmarks.many import configure
from benchmarks.measure import Size, Statement, least_of_statements, quiet
from benchmarks.part import Result
from benchmarks.peers import OURS
from benchmarks.table import FLOOR, Table

__all__ = [
    "AFTER",
    "BEFORE",
    "CONTEXTS",
    "FORMS",
    "INSIDE",
    "OUTSIDE",
    "SETS",
    "TENANTS",
    "measure",
]

CONTEXTS, FORMS = "contexts", "forms"

BEFORE, AFTER = "no context yet", "after a context"
OUTSIDE, INSIDE = "outside of an open one", "inside"

PROMETHEUS = "prometheus_client"

_TENANTS = 1_500
TENANTS = f"with context() of {_TENANTS:,} tenants, and inc"
SETS = "1,000 sets of dimensions in turn", "1,900 sets of dimensions in turn"


class Region(enum.Enum):
    """A dimension value as programs have them."""

    EU = "eu"


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


class _Empty:
    __slots__ = ()

    def inc(self) -> None:
        pass


def measure(size: Size) -> Result:
    """Return the cost of each form, and of kept instruments beside contexts."""
    configure()
    contexts = _contexts(size)
    left_out: dict[str, str] = {}
    forms = _forms(size, left_out)
    return Result(
        [
            Table(CONTEXTS, "kept instruments and contexts", "ns", contexts),
            Table(FORMS, "forms", "ns", forms, "The floor is an empty method call."),
        ],
        left_out=left_out,
    )


def _contexts(size: Size) -> dict[str, dict[str, float]]:
    kept = {
        "counter inc": Statement("c.inc()", {"c": dtmetrics.counter("kept.counter")}),
        "gauge set": Statement("g.set(1.5)", {"g": dtmetrics.gauge("kept.gauge")}),
        "summary record": Statement(
            "s.record(0.5)", {"s": dtmetrics.summary("kept.summary")}
        ),
        "with timed(...)": Statement(
            "with t: pass", {"t": dtmetrics.timed("kept.timer")}
        ),
    }
    rows: dict[str, dict[str, float]] = {name: {} for name in kept}

    def note(column: str) -> None:
        for name, cost in least_of_statements(kept, size.rounds // 2 + 1).items():
            rows[name][column] = cost

    note(BEFORE)
    with dtmetrics.context(tenant="a"):
        note(INSIDE)
    note(AFTER)
    # An open block of another context, such as that of another thread.
    other, block = Context(), dtmetrics.context(tenant="b")
    other.run(block.__enter__)
    note(OUTSIDE)
    other.run(block.__exit__)
    return rows


def _forms(size: Size, left_out: dict[str, str]) -> dict[str, dict[str, float]]:
    took = least_of_statements(_statements(), size.rounds)
    floor = took.pop(FLOOR)
    took |= _repeated(size)
    rows = {name: {FLOOR: floor, OURS: cost} for name, cost in took.items()}
    try:
        peers = least_of_statements(_prometheus(), size.rounds)
    except ImportError as missing:
        left_out[PROMETHEUS] = str(missing)
    else:
        for name, cost in peers.items():
            rows[name][PROMETHEUS] = cost
    return rows


def _statements() -> dict[str, Statement]:
    timed = dtmetrics.timed

    def fails() -> None:
        raise ValueError

    def work(amount: int = 1, region: str = "eu") -> None:
        """Do nothing."""

    names: dict[str, Any] = {
        "dt": dtmetrics,
        "c": dtmetrics.counter("forms.counter"),
        "other": dtmetrics.counter("forms.other"),
        "m": dtmetrics.get_meter("forms"),
        "context": dtmetrics.context,
        "timed": timed,
        "member": Region.EU,
        "status": HTTPStatus.OK,
        "uuid": uuid.uuid4(),
        "decimal": Decimal("1.5"),
        "text": Text("eu"),
        "args": timed("forms.args", args=("region",))(work),
        "result": timed("forms.result", result=lambda _: {"kind": "x"})(work),
        "raises": timed("forms.raises")(fails),
        "floor": _Empty(),
    }
    texts = {
        FLOOR: "floor.inc()",
        "with context()": "with context(tenant='a'): pass",
        "with timed() in place": "with timed('a.b'): pass",
        "counter().inc() in place": "dt.counter('a').inc()",
        "gauge().set() in place": "dt.gauge('b').set(1)",
        "bind().inc() in place": "c.bind(region='eu').inc()",
        "meter.bind().counter().inc()": "m.bind(t='a').counter('x').inc()",
        "a dimension: Enum": "c.inc(region=member)",
        "a dimension: HTTPStatus": "c.inc(region=status)",
        "a dimension: UUID": "other.inc(region=uuid)",
        "a dimension: Decimal": "other.inc(region=decimal)",
        "a dimension: str subclass": "other.inc(region=text)",
        "@timed with args=": "args(1, 'eu')",
        "@timed with result=": "result(1, 'eu')",
        "@timed that raises": "try:\n    raises()\nexcept ValueError: pass",
    }
    return {name: Statement(text, names) for name, text in texts.items()}


def _repeated(size: Size) -> dict[str, float]:
    """Return the cost of forms whose values differ from one call to the next."""
    counter, tenants = (
        dtmetrics.counter("forms.sets"),
        dtmetrics.counter("forms.tenant"),
    )
    new, numbers = dtmetrics.counter("forms.new"), count()
    names = [f"tenant{number}" for number in range(_TENANTS)]

    def in_contexts() -> int:
        for name in names:
            with dtmetrics.context(tenant=name):
                tenants.inc()
        return len(names)

    def sets(most: int) -> Callable[[], int]:
        values = [f"v{number}" for number in range(most)]

        def record() -> int:
            for value in values:
                counter.inc(user=value)
            return most

        return record

    def first() -> int:
        for _ in range(100):
            new.inc(user=next(numbers))
        return 100

    return {
        TENANTS: _least(in_contexts, size),
        SETS[0]: _least(sets(1_000), size),
        SETS[1]: _least(sets(1_900), size),
        "first record of a set": _least(first, size),
    }


def _least(call: Callable[[], int], size: Size) -> float:
    """Return nanoseconds of one record of *call*, which returns their number."""
    call()
    with quiet():
        least = float("inf")
        for _ in range(5 * size.turns):
            start = thread_time()
            made = call()
            least = min(least, (thread_time() - start) / made)
    return 1e9 * least


def _prometheus() -> dict[str, Statement]:
    """Return the nearest forms of prometheus_client."""
    import prometheus_client as p

    registry = p.CollectorRegistry()
    names = {
        "c": p.Counter("forms", "x", ["region"], registry=registry),
        "h": p.Histogram("seconds", "x", registry=registry),
    }
    return {
        "with timed() in place": Statement("with h.time(): pass", names),
        "bind().inc() in place": Statement("c.labels(region='eu').inc()", names),
    }

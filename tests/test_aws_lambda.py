from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import dtmetrics
from dtmetrics import MemoryExporter
from dtmetrics._instrument.invocations import Invocations
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.integrations.aws_lambda import handler
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    accept,
    answer,
    hang_up,
    never,
)
from tests.support.protocol_grammar import Line, lines_of


class Context:
    """What the functions of Lambda get as their second argument."""

    function_name = "orders"

    def __init__(self, milliseconds: int = 60_000) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryExporter]:
    """Return the exporter of a process that has just begun, without a thread."""
    monkeypatch.setattr(Invocations, "_cold", True)
    exporter = MemoryExporter()
    dtmetrics.configure(exporter=exporter, interval=None, metadata=False, force=True)
    yield exporter
    dtmetrics.shutdown()


def durations(exporter: MemoryExporter) -> list[Line]:
    """Return the durations that were delivered."""
    return lines_of(exporter.lines, "faas.invoke_duration")


def test_handler(exporter: MemoryExporter) -> None:
    """A handler keeps its signature and result; each invocation is delivered."""

    @handler
    def place(event: dict[str, Any], context: Any) -> str:
        return str(event["region"])

    assert [*inspect.signature(place).parameters] == ["event", "context"]
    for _ in range(2):
        assert place({"region": "eu"}, Context()) == "eu"
    common = {"dt.metrics.source": "dtmetrics", "faas.name": "orders"}
    assert [each.dimensions for each in durations(exporter)] == [
        {**common, "faas.coldstart": "true"},
        {**common, "faas.coldstart": "false"},
    ]


def test_options(exporter: MemoryExporter) -> None:
    """With options it is called first, and adds their dimensions."""
    options: dict[str, Any] = {"trigger": "http", "dimensions": {"region": "eu"}}

    @handler(**options)
    def place(event: object, context: object) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        place({}, Context())
    [line] = durations(exporter)
    assert line.dimensions["faas.trigger"] == "http"
    assert line.dimensions["region"] == "eu"
    assert line.dimensions["error.type"] == "KeyError"


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        (({}, Context(3_000)), {}, 1.5),
        (({},), {"context": Context(3_000)}, 1.5),
        ((), {"event": {}, "context": Context(3_000)}, 1.5),
        (({}, None), {}, 2.0),
        (({}, object()), {}, 2.0),
    ],
)
def test_budget(
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    expected: float,
    exporter: MemoryExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The context limits the delivery, if it is one of Lambda."""
    timeouts: list[float] = []
    monkeypatch.setattr(
        Runtime, "flush", lambda self, timeout: timeouts.append(timeout)
    )

    @handler
    def place(event: object, context: object) -> int:
        return 3

    assert place(*arguments, **keywords) == 3
    assert timeouts == [expected]


def test_without_arguments(exporter: MemoryExporter) -> None:
    """A function without arguments, as a test may decorate, is recorded without a name."""
    handler(lambda: None)()
    [line] = durations(exporter)
    assert "faas.name" not in line.dimensions


# -- a frozen process ----------------------------------------------------------------

#: A function that is invoked by each line of its input: a number of seconds by which
#: the wall clock has advanced meanwhile, and the seconds that are left. The monotonic
#: clock stands still while a process is frozen, as on Lambda.
FUNCTION = """
import sys, threading, time
ahead, wall = [0.0], time.time
time.time = lambda: wall() + ahead[0]
from dtmetrics import configure, counter
from dtmetrics.integrations.aws_lambda import handler
configure(interval=None, metadata=False)
placed = counter("placed")
class Context:
    function_name = "orders"
    def get_remaining_time_in_millis(self):
        return self.seconds * 1000
@handler
def place(event, context):
    placed.inc()
context = Context()
for line in sys.stdin:
    seconds, context.seconds = map(float, line.split())
    ahead[0] += seconds
    place({}, context)
    print(threading.active_count(), flush=True)
"""


class Function:
    """A function in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def begin(self, frozen: float = 0.0, left: float = 60.0) -> None:
        """Begin an invocation after so many seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{frozen} {left}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Wait for the end of the invocation; return how many threads run."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def invoke(self, frozen: float = 0.0, left: float = 60.0) -> None:
        """Run one invocation, which leaves no thread."""
        self.begin(frozen, left)
        assert self.end() == "1\n"


@contextmanager
def function(endpoint: Endpoint) -> Iterator[Function]:
    """Run a function that sends to *endpoint* until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", FUNCTION],
        env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Function(process)
    finally:
        process.kill()  # as Lambda does
        process.communicate()


def closing() -> Verdict:
    """Accept every line, and close the connection, as a server does that is idle."""
    verdict = accept()

    def act(connection: Any, endpoint: Endpoint) -> bool:
        verdict.act(connection, endpoint)
        return False

    return Verdict(act, accepted=True)


@pytest.mark.processes
def test_each_invocation_delivers() -> None:
    """Each invocation is delivered before it returns, by one request, and no thread."""
    with Endpoint() as endpoint, function(endpoint) as orders:
        for number in range(1, 4):
            orders.invoke(frozen=300.0)
            assert endpoint.total("placed") == number
            assert len(endpoint.requests) == number


@pytest.mark.processes
def test_stale_connection() -> None:
    """A connection that was closed while the process was frozen is replaced."""
    with (
        Endpoint(closing(), closing()) as endpoint,
        function(endpoint) as orders,
    ):
        for number in range(1, 4):
            orders.invoke(frozen=300.0)
            assert endpoint.total("placed") == number
        assert endpoint.connections == 3


@pytest.mark.processes
def test_connection_that_breaks() -> None:
    """What a broken connection has left open is sent by the next invocation."""
    script = accept(), hang_up(reset=True)
    with Endpoint(*script) as endpoint, function(endpoint) as orders:
        for _ in range(3):
            orders.invoke(frozen=300.0)
        assert endpoint.total("placed") == 3


@pytest.mark.processes
def test_throttled_before_the_freeze() -> None:
    """A Retry-After is over after a freeze, during which the monotonic clock stood still."""
    throttled = answer(429, headers=["Retry-After: 60"])
    with Endpoint(throttled) as endpoint, function(endpoint) as orders:
        orders.invoke()
        orders.invoke(frozen=10.0, left=1.0)
        assert len(endpoint.requests) == 1
        orders.invoke(frozen=300.0)
        assert endpoint.total("placed") == 3


@pytest.mark.processes
def test_endpoint_down() -> None:
    """Failures in many invocations do not keep the next one from sending at once."""
    with (
        Endpoint(*[answer(503)] * 8) as endpoint,
        function(endpoint) as orders,
    ):
        for number in range(1, 9):
            orders.invoke()
            assert len(endpoint.requests) == number
        orders.invoke()
        assert endpoint.total("placed") == 9


@pytest.mark.processes
def test_mute_endpoint() -> None:
    """An endpoint that does not answer costs half of what is left, and loses nothing."""
    with Endpoint(never()) as endpoint, function(endpoint) as orders:
        orders.begin(left=1.6)
        orders.end()
        orders.invoke(frozen=30.0)
        orders.invoke(frozen=30.0)
        assert endpoint.total("placed") == 3


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no process")
def test_frozen_in_a_request() -> None:
    """A process that is frozen while it waits for an answer goes on, and loses nothing."""
    may_answer = threading.Event()
    with Endpoint(accept(until=may_answer)) as endpoint, function(endpoint) as orders:
        orders.begin()
        endpoint.wait_for(1)
        orders.process.send_signal(signal.SIGSTOP)
        os.waitpid(orders.process.pid, os.WUNTRACED)
        may_answer.set()
        orders.process.send_signal(signal.SIGCONT)
        orders.end()
        orders.invoke()
        assert endpoint.total("placed") == 2

"""A configuration travels with what is pickled, and configures the process it arrives in."""

from __future__ import annotations

import json
import logging
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import (
    ConsoleExporter,
    MemoryExporter,
    configure,
    context,
    counter,
    get_meter,
    shutdown,
    timed,
)
from dtmetrics._runtime.runtime import Runtime, default
from tests.support.endpoint import Endpoint
from tests.support.script import expect, run

ELSEWHERE = "https://abc12345.live.dynatrace.com"


@timed
def importable(number: int) -> int:
    """Be decorated, in a module that can be imported."""
    return number


def sent(number: int = 1, **arguments: Any) -> str:
    """Return what a process with *arguments* sends, as its configuration *number*."""
    arguments = {"interval": None, **arguments}
    return json.dumps({"number": number, "arguments": arguments, "variables": {}})


def config(runtime: Runtime) -> Any:
    """Return the configuration of *runtime*."""
    return runtime._config


def warnings(
    caplog: pytest.LogCaptureFixture, call: Callable[..., object], *args: Any
) -> list[str]:
    """Return what *call* logs as a warning."""
    caplog.clear()
    call(*args)
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


TARGETS = {
    "instrument": lambda: counter("arrived").bind(region="eu"),
    "meter": lambda: get_meter("shop"),
    "context": lambda: context(tenant="acme"),
    "block": lambda: timed("took")(),
    "function": lambda: importable,
    "verb": lambda: counter("arrived").inc,
    "front door": lambda: counter,
}


@pytest.mark.parametrize("name", TARGETS)
def test_part_of_pickles(name: str) -> None:
    """Whatever records is pickled with the settings, once in a pickle, and without them before."""
    target = TARGETS[name]()
    before = pickle.dumps(target)
    assert b"arguments" not in before
    configure(prefix="travelling", interval=None)
    after = pickle.dumps([target, counter("another"), target])
    assert after.count(b"travelling") == 1
    loaded = pickle.loads(after)
    assert repr(loaded[0]) == repr(target) or name in ("context", "block")
    shutdown()
    assert pickle.dumps(target) == before


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With travels=False, or its variable, a pickle has no settings."""
    before = pickle.dumps(counter("a"))
    configure(travels=False, interval=None)
    assert pickle.dumps(counter("a")) == before
    monkeypatch.setenv("DTMETRICS_TRAVELS", "false")
    configure(interval=None, force=True)
    assert pickle.dumps(counter("a")) == before


RECEIVER = """
import pickle, sys
[target] = [pickle.loads(bytes.fromhex(text)) for text in sys.argv[1:]]
"""


def test_other_process() -> None:
    """A process that only unpickles delivers what it records, with the sender's settings."""
    with Endpoint() as endpoint:
        configure(endpoint=endpoint.url, prefix="pre", dimensions={"service": "shop"})
        target = counter("arrived").bind(region="eu")
        pickled = pickle.dumps(target).hex()
        shutdown()
        expect(RECEIVER + "target.inc(3)", pickled)
    [line] = [line for line in endpoint.lines if line[0] != "#"]
    assert line.startswith("pre.arrived,")
    assert "region=eu" in line
    assert "service=shop" in line
    assert endpoint.total("pre.arrived") == 3


def test_importable_function() -> None:
    """A decorated function that is pickled by its name brings the settings along."""
    with Endpoint() as endpoint:
        configure(endpoint=endpoint.url)
        pickled = pickle.dumps(importable)
        assert pickle.loads(pickled) is importable
        shutdown()
        source = "import sys; sys.path[:0] = {path!r}\n" + RECEIVER + "target(3)"
        expect(source.format(path=[*filter(None, sys.path)]), pickled.hex())
    assert [line for line in endpoint.lines if "test_travel.importable" in line]


def test_no_token_in_the_other_process() -> None:
    """Without a token the other process logs one line with the remedy, and goes on."""
    configure(endpoint=ELSEWHERE, token="dt0c01.CANARY.secret", interval=None)
    pickled = pickle.dumps(counter("arrived"))
    shutdown()
    again = "target = [pickle.loads(bytes.fromhex(sys.argv[1])).inc() for _ in 'ab']"
    ended = run(RECEIVER + again, pickled.hex())
    assert ended.status == 0
    [line] = ended.err.splitlines()
    assert line.startswith("dtmetrics: the settings that arrived by a pickle are not")
    assert "set DTMETRICS_TOKEN or DTMETRICS_TOKEN_FILE" in line
    assert "token must be set for the endpoint at 'abc12345.live.dynatrace.com'" in line
    assert b"CANARY" not in pickled


def test_configured_before(runtime: Runtime) -> None:
    """What arrives in a process that has configured changes nothing."""
    runtime.configure(exporter=MemoryExporter(), prefix="own", interval=None)
    runtime.arrive(sent(prefix="arrived"))
    assert config(runtime).prefix == "own"


def test_configured_after(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """A later configure() replaces what has arrived, silently; a third call is ignored."""
    runtime.arrive(sent(prefix="arrived"))
    assert config(runtime).prefix == "arrived"
    assert runtime.registry.recording
    assert warnings(caplog, lambda: runtime.configure(prefix="own")) == []
    assert config(runtime).prefix == "own"
    runtime.arrive(sent(2, prefix="arrived"))
    assert config(runtime).prefix == "own"
    assert len(warnings(caplog, lambda: runtime.configure(prefix="other"))) == 1


def test_after_shutdown(runtime: Runtime) -> None:
    """A process that has shut down is not configured by what arrives."""
    runtime.shutdown()
    runtime.arrive(sent())
    assert not runtime.registry.recording


def test_first_of_several(runtime: Runtime) -> None:
    """The first configuration stays, until one arrives that a process has made later."""
    runtime.arrive(sent(2, prefix="first"))
    for number in (1, 2):
        runtime.arrive(sent(number, prefix="other"))
        assert config(runtime).prefix == "first"
    runtime.arrive(sent(3, prefix="later"))
    assert config(runtime).prefix == "later"


def test_passed_on() -> None:
    """A worker sends to its own workers what has arrived in it."""
    runtime = Runtime()
    text = sent(prefix="arrived")
    runtime.arrive(text)
    assert runtime.travel.sent == text
    assert runtime.registry.travels
    runtime.shutdown()
    assert not runtime.registry.travels


def test_worker(runtime: Runtime) -> None:
    """A process that something has arrived in is a worker, whose gauges have its number."""
    exporter = ConsoleExporter()
    runtime.arrive(sent())
    assert runtime.registry.generation.worker
    runtime.configure(exporter=exporter, interval=None)
    assert runtime.registry.generation.worker


def test_same_again(runtime: Runtime) -> None:
    """What has arrived before is compared, and not looked at."""
    text = sent()
    runtime.arrive(text)
    running = config(runtime)
    runtime.arrive("".join(text))
    runtime.travel.arrive(text)  # as in a thread that has waited for the first one
    assert config(runtime) is running


def test_exporter(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """An exporter does not travel: that is logged once, and nothing is recorded."""
    text = json.dumps({"number": 1, "exporter": "MemoryExporter"})
    [message] = warnings(caplog, runtime.arrive, text)
    assert "MemoryExporter is an object of the process that it comes from" in message
    assert warnings(caplog, runtime.arrive, text) == []
    assert not runtime.registry.recording
    runtime.configure(interval=None)
    assert runtime.registry.recording


def test_disabled(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that the environment disables is not configured, and logs nothing."""
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    assert warnings(caplog, runtime.arrive, sent(interval=-1)) == []
    assert not runtime.registry.recording


def test_switched_off_in_the_receiver(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of the process that something arrives in switches it off, too."""
    monkeypatch.setenv("DTMETRICS_TRAVELS", "false")
    assert warnings(caplog, runtime.arrive, sent()) == []
    assert not runtime.registry.recording
    assert runtime.travel.sent == ""


def test_disabled_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disabled process sends no settings."""
    monkeypatch.setenv("DTMETRICS_DISABLED", "true")
    configure(prefix="a")
    assert default.travel.sent == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        (sent(interval=-1), "interval must be between 0 and 86400 seconds, got -1"),
        (sent(dimensions=[1]), "dimensions must be a mapping"),
        ('{"number": 1, "arguments": 5, "variables": {}}', "TypeError"),
    ],
)
def test_invalid(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, text: str, shown: str
) -> None:
    """Settings that cannot be used raise nothing; one line names them."""
    [message] = warnings(caplog, runtime.arrive, text)
    assert shown in message
    assert "TOKEN" not in message
    assert not runtime.registry.recording


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.text()
    | st.dictionaries(
        st.sampled_from(["number", "arguments", "variables", "exporter"]), JSON
    ).map(json.dumps)
)
def test_any_text(text: str) -> None:
    """No text raises."""
    runtime = Runtime()
    runtime.arrive(text)
    runtime.shutdown(0.0)


def test_threads(runtime: Runtime) -> None:
    """Threads to which the same settings arrive at once all find the process configured."""
    barrier = threading.Barrier(4)
    recording: list[bool] = []

    def receive() -> None:
        barrier.wait()
        runtime.arrive(sent())
        recording.append(runtime.registry.recording)

    threads = [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recording == [True] * 4


def test_within_configure(runtime: Runtime) -> None:
    """What arrives while the same thread configures is ignored, and waits for nothing."""
    with runtime._lock.acquire(1.0):
        runtime.arrive(sent())
    assert not runtime.registry.recording

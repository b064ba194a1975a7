"""The campaign's own parts: what they say can be believed."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import pytest

from tests.faults import __main__ as command
from tests.faults.campaign import SCENARIOS, Row, Run, Scenario
from tests.faults.clock import Clock, Origin
from tests.faults.lines import Taken
from tests.faults.rig import Server

if sys.platform != "linux":
    pytest.skip("the campaign looks into /proc", allow_module_level=True)


@pytest.mark.parametrize("how", ["drop", "double"])
@pytest.mark.parametrize(
    "name", ["connection_closed_while_idle", "forks_from_the_start", "answers_lost"]
)
def test_broken_library_is_seen(name: str, how: str) -> None:
    """A library that drops or doubles every third body breaches the claims on counts."""
    row = SCENARIOS[name].run(Run(quick=True, sabotage=how))
    assert row.verdict.startswith("BREACH: "), row
    assert (row.difference < 0) == (how == "drop"), row


@pytest.mark.parametrize("what", ["needs", "packages"])
def test_missing_tool_is_no_pass(what: str) -> None:
    """A scenario whose tool is missing is not run, and neither passes nor breaches."""

    def act(run: Run) -> Row:
        raise AssertionError("it was run")

    missing: dict[str, Any] = {"needs": (), what: ("no-such-tool",)}
    row = Scenario(act, fast=False, **missing).run(Run())
    assert (row.verdict, row.breaches) == ("not run: no no-such-tool", [])


def test_failing_scenario_is_a_breach() -> None:
    """A scenario that fails itself has not passed."""

    def act(run: Run) -> Row:
        raise LookupError("own")

    verdict = Scenario(act, (), fast=False).run(Run()).verdict
    assert verdict == "BREACH: the scenario failed: LookupError('own')"


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It lists, runs what is named, and its status says whether anything was breached."""
    assert command.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in SCENARIOS)
    assert command.main(["--quick", "first_post_imports_nothing"]) == 0
    assert "1 passed, 0 breached, 0 not run" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["no_such_scenario"])


def test_breach_is_the_commands_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One breach is enough for a status that is not zero."""
    broken = Scenario(lambda run: Row(truth=2, got=1, breaches=["lost 1"]), (), False)
    monkeypatch.setitem(SCENARIOS, "broken", broken)
    assert command.main(["broken"]) == 1
    assert "BREACH: lost 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "key", "total"),
    [
        ("orders count,delta=3 1700000000000", "orders", 3),
        (r"orders,a=b\ c,d=\"\=\, count,delta=1.5 17", "orders", 1.5),
        ('orders,a="b c, d=\\"e" count,delta=2', "orders", 2),
        ("time.spent,a=b gauge,min=1,max=2,sum=3,count=7 17", "time.spent", 7),
        ("load gauge,0.5 17", "load", 1),
    ],
)
def test_line(line: str, key: str, total: float) -> None:
    """What a line says is read by a parser that shares nothing with the library."""
    taken = Taken()
    taken.take(line, now=0.0)
    assert taken.unreadable == []
    assert [total for _, total in taken.series[key].values()] == [total]


def test_lines_that_come_twice() -> None:
    """A line that came before is known again; one moment with two values as well."""
    taken = Taken()
    taken.take("orders count,delta=3 1000\norders count,delta=4 2000", now=10.0)
    taken.take("orders count,delta=3 1000\norders count,delta=5 2000\n#orders", now=3.0)
    told = taken.report()
    assert (told["again"], told["collisions"]) == ({"orders": [1, 3]}, 1)
    assert (told["oldest"], told["newest"]) == (9.0, 1.0)
    assert (told["lines"], told["metadata"]) == (4, 1)


@pytest.mark.parametrize("line", ["orders", "orders count,delta=", "1a gauge,1", "\n"])
def test_unreadable_line(line: str) -> None:
    """What is no line is told as such."""
    taken = Taken()
    taken.take(line, now=0.0)
    assert taken.unreadable


def test_clock() -> None:
    """A faster clock goes on from where it was when its pace changes, and may jump."""
    begin = Origin.now()
    clock = Clock(Origin(20.0, begin.monotonic - 1.0, 1000.0))
    assert 20.0 <= clock.monotonic() - (begin.monotonic - 1.0) < 100.0
    clock.pace(1.0, begin.monotonic)
    assert 20.0 <= clock.monotonic() - (begin.monotonic - 1.0) < 25.0
    clock.step(-500.0)
    assert 520.0 <= clock.time() < 525.0
    clock.freeze(100.0)
    assert 620.0 <= clock.time() < 625.0
    assert clock.speed == 1.0


def test_endpoint_refuses_and_comes_back() -> None:
    """While it is down connections are refused; then it listens on the same port."""
    with Server() as server:
        server.ask("down")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        server.ask("up")
        assert post(server.port, "a gauge,1") == 202
        assert server.truth().lines == 1


def test_script_goes_step_by_step() -> None:
    """Each step holds for its requests, and then everything is taken."""
    with Server() as server:
        server.script(
            {"verdict": "status", "status": 503, "times": 2},
            {"verdict": "poison", "marker": "<1>", "times": 1},
        )
        said = [post(server.port, "a,b=<1> count,delta=1") for _ in range(4)]
        assert said == [503, 503, 400, 202]
        truth = server.truth()
        assert (truth.requests, truth.total("a"), truth.total("a", "<1>")) == (4, 1, 1)
        assert [e["verdict"] for e in truth.journal] == [
            "503",
            "503",
            "poisoned",
            "accept",
        ]


def test_token_is_told_as_a_digest() -> None:
    """What tells tokens apart is in the truth, and no token is."""
    with Server() as server:
        post(server.port, "a gauge,1", "Authorization: Api-Token dt0c01.A.canary\r\n")
        told = json.dumps(server.truth().seen)
    assert "canary" not in told
    assert "authorization" in told


def post(port: int, text: str, headers: str = "") -> int:
    """Post *text* and return the status."""
    head = f"POST / HTTP/1.1\r\n{headers}Content-Length: {len(text)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall((head + text).encode())
        return int(connection.recv(65536).split()[1])

"""The campaign's own parts: clock, endpoint, line parser, rows and command."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.faults import __main__ as command
from tests.faults.accelerated_clock import Clock, Origin
from tests.faults.campaign import SCENARIOS, Row, Run, Scenario
from tests.faults.lines import Ingested
from tests.faults.rig import Server

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("how", ["drop", "double"])
@pytest.mark.parametrize(
    "name", ["connection_closed_while_idle", "forks_from_the_start", "answers_lost"]
)
def test_broken_library_is_noticed(name: str, how: str) -> None:
    """A library that drops or doubles every third batch breaches the claims on counts."""
    row = SCENARIOS[name].run(Run(quick=True, broken=how))
    assert row.verdict.startswith("BREACH: "), row
    assert (row.difference < 0) == (how == "drop"), row


@pytest.mark.parametrize("what", ["needs", "packages"])
def test_missing_tool_is_not_a_pass(what: str) -> None:
    """A scenario whose tool is missing neither passes nor breaches; it is not run."""

    def act(run: Run) -> Row:
        raise AssertionError("it was run")

    missing: dict[str, Any] = {"needs": (), what: ("no-such-tool",)}
    row = Scenario(act, fast=False, **missing).run(Run())
    assert (row.verdict, row.breaches) == ("not run: no-such-tool is missing", [])


def test_failing_scenario_is_a_breach() -> None:
    """A scenario that raises an exception has not passed."""

    def act(run: Run) -> Row:
        raise LookupError("own")

    verdict = Scenario(act, (), fast=False).run(Run()).verdict
    assert verdict == "BREACH: the scenario failed: LookupError('own')"


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command lists scenarios and runs named ones; an unknown name is an error."""
    assert command.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in SCENARIOS)
    assert command.main(["--quick", "first_post_imports_nothing"]) == 0
    assert "1 passed, 0 breached, 0 not run" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["no_such_scenario"])


def test_breach_sets_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One breached claim makes the command's exit status 1."""
    row = Row(expected=2, actual=1, breaches=["lost 1"])
    broken = Scenario(lambda run: row, (), fast=False)
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
    """Each kind of payload adds up: deltas, counts of summaries, one for a gauge."""
    ingested = Ingested()
    ingested.ingest(line, now=0.0)
    assert ingested.unreadable == []
    assert [total for _, total in ingested.series[key].values()] == [total]


def test_repeated_lines() -> None:
    """A repeated line is counted as such, and so is a timestamp with two values."""
    first = "orders count,delta=3 1000"
    ingested = Ingested()
    ingested.ingest(f"{first}\norders count,delta=4 2000", now=10.0)
    ingested.ingest(f"{first}\norders count,delta=5 2000\n#orders", now=3.0)
    report = ingested.report()
    assert (report["repeated"], report["collisions"]) == ({"orders": [1, 3]}, 1)
    assert (report["oldest"], report["newest"]) == (9.0, 1.0)
    assert (report["lines"], report["metadata"]) == (4, 1)


@pytest.mark.parametrize("line", ["orders", "orders count,delta=", "1a gauge,1", "\n"])
def test_unreadable_line(line: str) -> None:
    """Text outside the protocol is reported as unreadable."""
    ingested = Ingested()
    ingested.ingest(line, now=0.0)
    assert ingested.unreadable


def test_clock() -> None:
    """A clock continues from its reading when its speed changes, and can be set."""
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


def test_endpoint_goes_down_and_up() -> None:
    """An endpoint that is down refuses connections; up again it has the same port."""
    with Server() as server:
        server.command("down")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        server.command("up")
        assert post(server.port, "a gauge,1") == 202
        assert server.received().lines == 1


def test_script_goes_step_by_step() -> None:
    """Each step applies to its requests; after the last one everything is accepted."""
    with Server() as server:
        server.script(
            {"action": "status", "status": 503, "times": 2},
            {"action": "poison", "marker": "<1>", "times": 1},
        )
        statuses = [post(server.port, "a,b=<1> count,delta=1") for _ in range(4)]
        assert statuses == [503, 503, 400, 202]
        received = server.received()
        assert (received.requests, received.total("a"), received.total("a", "<1>")) == (
            4,
            1,
            1,
        )
        assert [e["action"] for e in received.journal] == [
            "503",
            "503",
            "poisoned",
            "accept",
        ]


def test_token_is_reported_as_a_digest() -> None:
    """The endpoint reports a digest of each token, never the token."""
    with Server() as server:
        post(server.port, "a gauge,1", "Authorization: Api-Token dt0c01.A.canary\r\n")
        report = json.dumps(server.received().seen)
    assert "canary" not in report
    assert "authorization" in report


def post(port: int, text: str, headers: str = "") -> int:
    """Post *text* and return the status."""
    head = f"POST / HTTP/1.1\r\n{headers}Content-Length: {len(text)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall((head + text).encode())
        return int(connection.recv(65536).split()[1])

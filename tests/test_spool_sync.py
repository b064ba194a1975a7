"""What waits is on disk as well, and outlives its process."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.spool_sync import SpoolSync
from dtmetrics._spool import disk_worker
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.delivery_rig import (
    ANSWERED,
    INDETERMINATE,
    REJECTED,
    RETRY,
    TOO_LARGE,
    Sending,
)
from tests.support.endpoint import PATIENCE, Endpoint, accept, answer, hang_up, never
from tests.support.exporter_contract import a_body
from tests.support.script import expect, run

TENANT = "an endpoint"

KILLED = """
import os, signal, sys
from dtmetrics import configure, counter, flush

configure(interval=None, spool=sys.argv[1], metadata=False)
counter("orders").inc(7)
done = flush(1.0)
print(done, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

NEXT = """
import sys
from dtmetrics import configure, counter, flush, stats

configure(interval=None, spool=sys.argv[1], metadata=False)
print(flush(), stats().accepted, stats().dropped, stats().spool)
"""


def files(root: Path) -> list[str]:
    """Return the suffixes of all bodies on disk."""
    found = (path.suffix for path in root.glob("*/p-*/*"))
    return sorted(suffix for suffix in found if suffix)


def test_outlives_its_process(tmp_path: Path) -> None:
    """What waited when a process was killed is sent by the next one, with its time."""
    with Endpoint(answer(503), accept()) as endpoint:
        where = {"DTMETRICS_ENDPOINT": endpoint.url}
        ended = run(KILLED, tmp_path, **where)
        assert (ended.status, ended.out) == (-signal.SIGKILL, "False\n"), ended.err
        assert files(tmp_path) == [".b"]
        told = expect(NEXT, tmp_path, **where)
    assert told == "True 1 {} {'bodies': 0, 'bytes': 0, 'adopted': 1}\n"
    assert endpoint.total("orders") == 7
    first, second = endpoint.requests
    assert first.lines == second.lines
    assert files(tmp_path) == []


def test_in_doubt_when_it_was_killed(tmp_path: Path) -> None:
    """What may have arrived before its process was killed is asked about, and sent."""
    with Endpoint(hang_up(), accept(), accept(), hang_up()) as endpoint:
        where = {"DTMETRICS_ENDPOINT": endpoint.url}
        assert run(KILLED, tmp_path, **where).out == "False\n"
        assert files(tmp_path) == [".try"]
        expect(NEXT, tmp_path, **where)
        assert endpoint.total("orders") == 7
        asked = [r.lines[0].partition(",")[0] for r in endpoint.requests]
        assert asked == ["orders", "dtmetrics.client.probe", "orders"]
        assert run(KILLED, tmp_path, **where).out == "False\n"
        expect(NEXT, tmp_path, DTMETRICS_DELIVERY="at_most_once", **where)
        assert endpoint.total("orders") == 7
    assert files(tmp_path) == []


ENDING = """
import sys
from dtmetrics import configure, counter

configure(spool=sys.argv[1], metadata=False)
counter("orders").inc(7)
"""


@pytest.mark.parametrize("verdict", [answer(401), never()], ids=["refused", "hung"])
def test_at_exit(verdict: object, tmp_path: Path) -> None:
    """What cannot be sent when a program ends is sent by the next one."""
    with Endpoint(verdict, accept()) as endpoint:  # type: ignore[arg-type]
        where = {"DTMETRICS_ENDPOINT": endpoint.url}
        assert run(ENDING, tmp_path, **where).status == 0
        assert len(files(tmp_path)) == 1
        expect(NEXT, tmp_path, **where)
        expect(NEXT, tmp_path, **where)
    assert endpoint.total("orders") == 7
    assert files(tmp_path) == []


def sending(root: Path, *steps: ExportResult) -> Sending:
    """Return a sender with a spool."""
    made = Sending(*steps)
    spool = Spool(root, TENANT, now_ms=lambda: made.now_ms, clock=lambda: made.now)
    made.sender._spool = SpoolSync(made.outbox, spool)
    return made


def test_nothing_on_disk_while_all_is_well(tmp_path: Path) -> None:
    """A spool costs nothing while the endpoint answers."""
    well = sending(tmp_path)
    for _ in range(3):
        well.put()
        assert well.send()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("steps", "suffixes"),
    [
        ([RETRY], [[".b", ".b"], []]),
        ([INDETERMINATE], [[".b", ".try"], []]),
        ([INDETERMINATE, ANSWERED, INDETERMINATE], [[".b", ".try"], [".b"], []]),
        ([RETRY, REJECTED], [[".b", ".b"], []]),
        ([RETRY, TOO_LARGE, ANSWERED, RETRY], [[".b", ".b"], [".b", ".b"], []]),
    ],
)
def test_in_step(
    steps: list[ExportResult], suffixes: list[list[str]], tmp_path: Path
) -> None:
    """After each attempt there is on disk what waits, marked if it is in doubt."""
    made = sending(tmp_path, *steps)
    made.put("a", "b")
    made.put("c", "d")
    for expected in suffixes:
        assert made.send() is (not expected)
        assert files(tmp_path) == expected


def test_dropped_is_off_the_disk(tmp_path: Path) -> None:
    """What became too old is no longer on disk either."""
    made = sending(tmp_path, RETRY)
    made.put()
    assert not made.send()
    made.now_ms += 56 * 60_000
    assert made.send()
    assert files(tmp_path) == []


def test_forked(tmp_path: Path) -> None:
    """A child leaves what its parent has on disk to the parent."""
    made = sending(tmp_path, RETRY)
    made.put()
    assert not made.send()
    pid = os.fork()
    if not pid:
        made.sender.reset_after_fork()
        made.put("child")
        made.sender.secure()
        done = made.send() and made.outbox.account().accepted == 1
        made.sender.close()
        os._exit(not done)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert files(tmp_path) == [".b"]
    assert made.send()
    assert files(tmp_path) == []


def test_without_a_spool() -> None:
    """Without one there is nothing to do, and nothing to tell."""
    outbox = Outbox()
    outbox.put(a_body())
    copies = SpoolSync(outbox, None)
    assert not copies.recover()
    copies.secure()
    copies.trying(a_body())
    copies.tried(a_body(), Outcome.RETRY)
    copies.close()
    assert copies.account() == {}


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWK", True),
        ("a-token-of-another-form.secret", False),
        ("", False),
    ],
)
def test_tenant(token: str, shown: bool) -> None:
    """Tokens are told apart by their public part; nothing else of them is used."""
    config = Config.resolve(
        {"endpoint": Secret("https://x.example"), "token": Secret(token or "t")}, {}
    )
    public = "dt0c01.ST2EY72KQINMH574WMNVI7YN" if shown else ""
    assert config.tenant == f"https://x.example/api/v2/metrics/ingest {public}"


def test_no_time_left(tmp_path: Path) -> None:
    """What a flush had no time for is on disk as well."""
    made = sending(tmp_path)
    made.put("a")
    made.put("b")
    assert not made.send(0.0)
    assert files(tmp_path) == [".b", ".b"]
    assert made.send()
    assert files(tmp_path) == []


def test_disk_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While what is written does not return, all is sent from memory; then goes on.

    No real disk: one that is frozen cannot be left, not even by a kill.
    """
    end, real = threading.Event(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (end.wait(PATIENCE), real(file)))
    monkeypatch.setattr(disk_worker, "_SECONDS", 0.02)
    made = sending(tmp_path, RETRY, ANSWERED, RETRY)
    made.put("a")
    assert not made.send()
    assert made.send()
    assert made.outbox.account().accepted == 1
    made.put("b")
    assert not made.send()
    made.sender.secure()
    assert made.sender._spool.account()["failed: too slow"] == 1
    end.set()
    left = made.sender._spool._errands._left
    assert left is not None
    left.join(PATIENCE)
    made.sender.secure()
    assert files(tmp_path) == [".b"]
    assert made.send()
    assert files(tmp_path) == []

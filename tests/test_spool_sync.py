"""What waits in the outbox is on disk as well, and outlives its process."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._deliver import spool_sync
from dtmetrics._deliver.spool_sync import SpoolSync
from dtmetrics._spool import disk_worker
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Batch, ExportResult, MemoryExporter
from tests.support.delivery_rig import (
    ANSWERED,
    INDETERMINATE,
    REJECTED,
    RETRY,
    TOO_LARGE,
    Sending,
)
from tests.support.endpoint import PATIENCE, Endpoint, accept, answer, hang_up, never
from tests.support.script import expect, run
from tests.support.spool_directory import SpoolDirectory, kill, texts

if not hasattr(os, "fork"):
    pytest.skip("the spool needs flock()", allow_module_level=True)

KILLED = """
import os, signal, sys
from dtmetrics import configure, counter, flush

configure(interval=None, spool=sys.argv[1], metadata=False)
counter("orders").inc(7)
print(flush(1.0), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

NEXT = """
import sys
from dtmetrics import configure, counter, flush, stats

configure(interval=None, spool=sys.argv[1], metadata=False)
print(flush(), stats().accepted, stats().dropped, stats().spool)
"""


def suffixes(root: Path) -> list[str]:
    """Return the suffixes of all batch files, sorted."""
    return sorted(f".{suffix}" for suffix in SpoolDirectory(root).suffixes())


def test_outlives_its_process(tmp_path: Path) -> None:
    """A batch that waited in a killed process is sent by the next one, unchanged."""
    with Endpoint(answer(503), accept()) as endpoint:
        where = {"DTMETRICS_ENDPOINT": endpoint.url}
        ended = run(KILLED, tmp_path, **where)
        assert (ended.status, ended.out) == (-signal.SIGKILL, "False\n"), ended.err
        assert suffixes(tmp_path) == [".b"]
        printed = expect(NEXT, tmp_path, **where)
    assert printed == "True 1 {} {'batches': 0, 'bytes': 0, 'recovered': 1}\n"
    assert endpoint.total("orders") == 7
    first, second = endpoint.requests
    assert first.lines == second.lines
    assert suffixes(tmp_path) == []


def test_indeterminate_in_a_killed_process(tmp_path: Path) -> None:
    """An indeterminate batch of a killed process is sent after a probe, or dropped.

    It is dropped with ``delivery="at_most_once"``.
    """
    with Endpoint(hang_up(), accept(), accept(), hang_up()) as endpoint:
        where = {"DTMETRICS_ENDPOINT": endpoint.url}
        assert run(KILLED, tmp_path, **where).out == "False\n"
        assert suffixes(tmp_path) == [".try"]
        expect(NEXT, tmp_path, **where)
        assert endpoint.total("orders") == 7
        keys = [r.lines[0].partition(",")[0] for r in endpoint.requests]
        assert keys == ["orders", "dtmetrics.client.probe", "orders"]
        assert run(KILLED, tmp_path, **where).out == "False\n"
        expect(NEXT, tmp_path, DTMETRICS_DELIVERY="at_most_once", **where)
        assert endpoint.total("orders") == 7
    assert suffixes(tmp_path) == []


ENDING = """
import sys
from dtmetrics import configure, counter

configure(spool=sys.argv[1], metadata=False)
counter("orders").inc(7)
"""


@pytest.mark.processes
@pytest.mark.parametrize("response", [answer(401), never()], ids=["401", "hung"])
def test_at_exit(response: object, tmp_path: Path) -> None:
    """A batch that cannot be sent at exit is sent by the next process, once."""
    with Endpoint(response, accept()) as endpoint:  # type: ignore[arg-type]
        where = {"DTMETRICS_ENDPOINT": endpoint.url}
        assert run(ENDING, tmp_path, **where).status == 0
        assert len(suffixes(tmp_path)) == 1
        expect(NEXT, tmp_path, **where)
        expect(NEXT, tmp_path, **where)
    assert endpoint.total("orders") == 7
    assert suffixes(tmp_path) == []


def sending(root: Path, *steps: ExportResult) -> Sending:
    """Return a sender with a spool, and an exporter that returns *steps*."""
    rig = Sending(*steps)
    spool = Spool(root, "here", now_ms=lambda: rig.now_ms, clock=lambda: rig.now)
    rig.sender._spool = SpoolSync(rig.outbox, spool)
    return rig


def test_nothing_on_disk_while_the_endpoint_answers(tmp_path: Path) -> None:
    """While the endpoint accepts all batches, nothing is written to disk."""
    rig = sending(tmp_path)
    for _ in range(3):
        rig.put()
        assert rig.send()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("steps", "on_disk"),
    [
        ([RETRY], [[".b", ".b"], []]),
        ([INDETERMINATE], [[".b", ".try"], []]),
        ([INDETERMINATE, ANSWERED, INDETERMINATE], [[".b", ".try"], [".b"], []]),
        ([RETRY, REJECTED], [[".b", ".b"], []]),
        ([RETRY, TOO_LARGE, ANSWERED, RETRY], [[".b", ".b"], [".b", ".b"], []]),
    ],
)
def test_after_each_attempt(
    steps: list[ExportResult], on_disk: list[list[str]], tmp_path: Path
) -> None:
    """After each attempt the disk holds what waits, marked where indeterminate."""
    rig = sending(tmp_path, *steps)
    rig.put("a", "b")
    rig.put("c", "d")
    for expected in on_disk:
        assert rig.send() is (not expected)
        assert suffixes(tmp_path) == expected


def test_killed_between_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed while it divides a batch leaves the whole as indeterminate."""
    rig = sending(tmp_path, RETRY, TOO_LARGE, RETRY)
    rig.put("a", "b")
    assert not rig.send()
    spool = rig.sender._spool._spool

    def kill_process(batch: Batch) -> None:
        kill(spool)
        monkeypatch.setattr(spool, "store", lambda batch, **_: None)

    # The halves are stored before the whole is deleted.
    monkeypatch.setattr(spool, "delete", kill_process)
    assert not rig.send()
    first, second = (f"{key} count,delta=1 {rig.now_ms}" for key in "ab")
    recovered = texts(SpoolDirectory(tmp_path).spool().recover())
    assert sorted(recovered) == [first, f"{first}\n{second}?", second]


def test_dropped(tmp_path: Path) -> None:
    """A batch that the outbox drops as too old is deleted from the disk."""
    rig = sending(tmp_path, RETRY)
    rig.put()
    assert not rig.send()
    rig.now_ms += 56 * 60_000
    assert rig.send()
    assert suffixes(tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork(tmp_path: Path) -> None:
    """A forked child leaves the batches on disk to its parent."""
    rig = sending(tmp_path, RETRY)
    rig.put()
    assert not rig.send()
    pid = os.fork()
    if not pid:
        rig.sender.reset_after_fork()
        rig.put("child")
        rig.sender.secure()
        done = rig.send() and rig.outbox.account().accepted == 1
        rig.sender.close()
        os._exit(not done)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert suffixes(tmp_path) == [".b"]
    assert rig.send()
    assert suffixes(tmp_path) == []


def test_environment() -> None:
    """A spool belongs to an endpoint, whatever its token and the case of its host."""
    found = {
        Config.resolve(
            {"endpoint": Secret(url), "token": Secret(token)}, {}
        ).environment
        for url in ("https://x.example", "https://X.Example/api/v2/metrics/ingest")
        for token in ("dt0c01.PUBLIC.SECRET", "dt0c01.OTHER.SECRET", "another-form")
    }
    assert found == {"https://x.example/api/v2/metrics/ingest"}


def test_environment_of_an_exporter() -> None:
    """Batches for a user's exporter are stored for exporters of its class only."""
    config = Config.resolve({"exporter": MemoryExporter()}, {})
    assert config.environment == "dtmetrics.exporters.MemoryExporter"


def test_no_time_left(tmp_path: Path) -> None:
    """Batches that a flush had no time to send are on disk."""
    rig = sending(tmp_path)
    rig.put("a")
    rig.put("b")
    assert not rig.send(0.0)
    assert suffixes(tmp_path) == [".b", ".b"]
    assert rig.send()
    assert suffixes(tmp_path) == []


def test_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that take long to store take several operations of the disk worker."""
    now, complete = [0.0], []
    rig = sending(tmp_path)
    sync = rig.sender._spool
    store, synchronize = sync._spool.store, sync._synchronize

    def slow_store(batch: Batch, *, indeterminate: bool) -> None:
        now[0] += 0.0 if sync._spool.has(batch) else 0.3
        store(batch, indeterminate=indeterminate)

    def observed() -> bool:
        complete.append(synchronize())
        return complete[-1]

    monkeypatch.setattr(spool_sync, "monotonic", lambda: now[0])
    monkeypatch.setattr(sync._spool, "store", slow_store)
    monkeypatch.setattr(sync, "_synchronize", observed)
    for _ in range(4):
        rig.put()
    rig.sender.secure()
    assert complete == [False, True]
    assert suffixes(tmp_path) == [".b"] * 4


def test_disk_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While fsync() does not return, batches are sent from memory without waiting.

    Simulated here, because a process on a frozen disk cannot even be killed. The
    campaign freezes a real one.
    """
    end, real = threading.Event(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (end.wait(PATIENCE), real(file)))
    monkeypatch.setattr(disk_worker, "_TIMEOUT_SECONDS", 0.02)
    rig = sending(tmp_path, RETRY, ANSWERED, RETRY)
    rig.put("a")
    assert not rig.send()
    assert rig.send()
    assert rig.outbox.account().accepted == 1
    rig.put("b")
    assert not rig.send()
    rig.sender.secure()
    assert rig.sender._spool.account()["failed: timeout"] == 1
    end.set()
    stuck = rig.sender._spool._disk._thread
    assert stuck is not None
    stuck.join(PATIENCE)
    monkeypatch.setattr(disk_worker, "_TIMEOUT_SECONDS", PATIENCE)
    rig.sender.secure()
    assert suffixes(tmp_path) == [".b"]
    assert rig.send()
    assert suffixes(tmp_path) == []

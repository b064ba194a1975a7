"""The relay: what children hand over is sent by their parent, each batch once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtmetrics._deliver.batching import LINES_LIMIT
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.relay import Relay
from dtmetrics._record.handover import Handover
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_batch
from tests.support.relays import child_of, open_relay, put_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

METADATA = '#{} count dt.meta.unit="Count"'


@pytest.fixture
def parent() -> Iterator[Relay]:
    """Return the relay of a process that forks."""
    relay = open_relay()
    yield relay
    relay.release()


@pytest.fixture
def child(parent: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Return the relay of its child."""
    relay = child_of(parent, monkeypatch)
    yield relay
    relay.release()


def metadata(*keys: str) -> Batch:
    """Return a batch of metadata."""
    text = "\n".join(METADATA.format(key) for key in keys)
    return Batch(text.encode(), (), 1)


def test_one_request(parent: Relay, child: Relay) -> None:
    """Batches of several children are one batch, with all their points."""
    for key in ("one", "two", "three"):
        assert child.take(a_batch(f"{key} count,delta=1 5", "more gauge,2 5"))
    outbox = Outbox()
    parent.put_in(outbox)
    [(batch, _)] = outbox.waiting()
    assert batch.text.count(b"\n") == 5
    assert [each.key for each in batch.identities[:3]] == ["one", "more", "two"]
    assert outbox.account().waiting == 6
    assert put_in(parent) == []


def test_metadata(parent: Relay, child: Relay) -> None:
    """Metadata that several children have sent is in one batch, each line once."""
    child.take(metadata("one", "two"))
    child.take(metadata("two", "three"))
    outbox = Outbox()
    parent.put_in(outbox)
    [(batch, _)] = outbox.waiting()
    lines = [METADATA.format(key) for key in ("one", "two", "three")]
    assert batch.text.decode().split("\n") == lines
    assert batch.points == 0


def test_limits(parent: Relay, child: Relay) -> None:
    """Batches are within the limits of a request."""
    lines = [f"key{number} gauge,1 5" for number in range(LINES_LIMIT - 1)]
    child.take(a_batch(*lines))
    child.take(a_batch("last gauge,1 5"))
    child.take(a_batch("next gauge,1 5"))
    first, second = put_in(parent)
    assert first.count("\n") + 1 == LINES_LIMIT
    assert second == "next gauge,1 5"


@pytest.mark.parametrize("entered", [False, True])
def test_interrupted(parent: Relay, child: Relay, entered: bool) -> None:
    """A batch that was being put when Ctrl-C came is put by the next collection, once."""

    class Interrupted(Outbox):
        def put(self, batch: Batch, handover: Handover | None = None) -> None:
            if entered:
                super().put(batch, handover)
            raise KeyboardInterrupt

    outbox = Interrupted()
    child.take(a_batch())
    with pytest.raises(KeyboardInterrupt):
        parent.put_in(outbox)
    again = Outbox()
    parent.put_in(again)
    assert outbox.account().waiting + again.account().waiting == 1


def test_before_a_fork(parent: Relay, child: Relay) -> None:
    """The parent reads before each fork, so that many children find room."""
    for number in range(1_000):
        assert child.take(a_batch(f"key{number} gauge,1 5"))
        parent.open()
    assert sum(text.count("\n") + 1 for text in put_in(parent)) == 1_000


def test_full(parent: Relay, child: Relay) -> None:
    """A child does not wait for a parent that does not read; what it wrote is read."""
    taken = 0
    while child.take(a_batch()):
        taken += 1
    assert taken > 100
    assert sum(text.count("\n") + 1 for text in put_in(parent)) == taken
    assert child.take(a_batch())


def test_too_large(child: Relay) -> None:
    """A batch that is larger than any datagram is not taken."""
    assert not child.take(Batch(b"x" * 900_000, (), 1))


def test_closed(parent: Relay, child: Relay) -> None:
    """What was written before the parent's end is read, and no more is taken."""
    assert child.take(a_batch("early gauge,1 5"))
    parent.close()
    assert not child.take(a_batch("late gauge,1 5"))
    assert put_in(parent) == ["early gauge,1 5"]
    assert not parent.is_open


def test_parent_ended(child: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child whose parent has ended hands over to no other process."""
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert not child.leads_to_parent
    assert not child.take(a_batch())


def test_of_another_process(
    parent: Relay, child: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was forked without the hooks of Python reads nothing."""
    child.take(a_batch())
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        assert put_in(parent) == []
    assert len(put_in(parent)) == 1


def test_child_of_a_child(child: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that forks reads from its own child, which does not reach the parent."""
    child.open()
    grandchild = child_of(child, monkeypatch)
    assert grandchild.take(a_batch("inner gauge,1 5"))
    assert put_in(child) == ["inner gauge,1 5"]
    grandchild.release()
    way = child._to_parent
    assert way is not None
    child.reset_after_fork()  # as its own child
    assert not way.intact
    child.reset_after_fork()  # as the child of that one, which has no pair
    assert not child.leads_to_parent


def test_reused_descriptors(child: Relay, tmp_path: Path) -> None:
    """Descriptors that have become those of other files are neither used nor closed."""
    way = child._to_parent
    assert way is not None
    number = way.socket.fileno()
    os.close(number)  # as a daemon does
    with (tmp_path / "file").open("w") as file:
        os.dup2(file.fileno(), number)
        assert not child.take(a_batch())
        child.reset_after_fork()
        os.fstat(number)
        os.close(number)
    assert (tmp_path / "file").read_text() == ""


def test_closed_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has closed all descriptors makes new ones for its next child."""
    relay = open_relay()
    assert relay._pair is not None
    for end in relay._pair:
        os.close(end.socket.fileno())
    assert put_in(relay) == []
    relay.open()
    child = child_of(relay, monkeypatch)
    assert child.take(a_batch())
    assert len(put_in(relay)) == 1
    child.release()
    for end in relay._pair:
        os.close(end.socket.fileno())
    relay.close()


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no such sockets, nothing is handed over."""
    monkeypatch.setattr(sys, "platform", "darwin")
    relay = open_relay()
    assert not relay.is_open
    relay.close()
    assert put_in(relay) == []

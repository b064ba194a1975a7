"""The relays of a parent and of a child, both in this process."""

from __future__ import annotations

import os

import pytest

from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.relay import Relay, _End


def open_relay() -> Relay:
    """Return the relay of a parent, which is about to fork."""
    relay = Relay()
    relay.open()
    return relay


def child_of(parent: Relay, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Return the relay that a forked child would have."""
    monkeypatch.setattr(os, "getppid", os.getpid)
    child = Relay()
    assert parent._pair is not None
    first, second = (_End(end.socket.dup()) for end in parent._pair)
    child._pair = first, second
    child.reset_after_fork()
    return child


def put_in(relay: Relay) -> list[str]:
    """Return the text of each batch that *relay* puts in an outbox."""
    outbox = Outbox()
    relay.put_in(outbox)
    return [batch.text.decode() for batch, _ in outbox.waiting()]

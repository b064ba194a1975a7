"""Batches of forked children, which the process that forked them sends.

RQ forks a process for each job. The first HTTP request of a forked process takes 8 ms,
because it copies the pages of the HTTP library one by one. Handing a batch over to the
parent takes 0.1 ms, and the parent sends those of all children in one request.

Each batch is sent once. A datagram is written and read whole. The parent shuts its
socket down before it reads it to the end: what is written later fails. A child that
cannot write sends the batch itself, also if the parent has ended or reads too slowly.
What a parent has not read when it is killed is lost.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from dtmetrics._deliver.batching import BYTES_LIMIT, LINES_LIMIT
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._record.handover import Handover
from dtmetrics._spool.record import identities_of
from dtmetrics.exporters import Batch

__all__ = ["Relay"]

# More than a socket's buffer has by default (212,992), so a datagram is read whole.
_DATAGRAM_BYTES = 1 << 20


class Relay:
    """The ways to this process from its children, and from it to its parent."""

    def __init__(self) -> None:
        #: Where this process reads, and where its children write.
        self._pair: tuple[_End, _End] | None = None
        #: Where this process, a child, writes.
        self._to_parent: _End | None = None
        self._renew()

    def _renew(self) -> None:
        self._received: deque[bytes] = deque()
        self._next = _Next([], None, 0)
        self._slot = Handover()

    def reset_after_fork(self) -> None:
        """In a forked child: write to the parent; what it has received is its own."""
        pair, self._pair = self._pair, None
        self._leave_parent()  # the parent's own way, to its parent
        if pair is not None:
            pair[0].close()
            self._to_parent = pair[1]
        self._renew()

    # -- in the process that forks -------------------------------------------------

    def open(self) -> None:
        """Let the children that are forked from now on hand over what they record."""
        if self._pair is None or not all(end.intact for end in self._pair):
            self._close_pair()
            # Only Linux has this kind of socket: datagrams in order, and an end.
            if sys.platform == "linux":
                first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._pair = _End(first), _End(second)
        self._receive()

    def close(self) -> None:
        """Take no more batches. Those that were handed over stay to be put."""
        if self._pair is not None and self._pair[0].intact:
            self._pair[0].socket.shutdown(socket.SHUT_RD)
            self._receive()
        self._close_pair()

    def release(self) -> None:
        """Hand over nothing more either."""
        self.close()
        self._leave_parent()

    def _leave_parent(self) -> None:
        if self._to_parent is not None:
            self._to_parent.close()
            self._to_parent = None

    @property
    def is_open(self) -> bool:
        """Whether children of this process may have handed something over."""
        return self._pair is not None

    def put_in(self, outbox: Outbox) -> None:
        """Put in *outbox* what children have handed over; one thread at a time."""
        self._receive()
        # Each step is one call or one assignment: a signal handler may raise after any.
        with suppress(IndexError):
            self._next.messages.extend(iter(self._received.popleft, b""))
        while self._next.messages:
            messages, batch, count = self._next
            if batch is None:
                metadata, batch, count = _merged(messages)
                if metadata.text:
                    outbox.put(metadata)
                self._next = _Next(messages, batch, count)
            if batch.points and self._slot.entered is not batch:
                outbox.put(batch, self._slot)
            self._next = _Next(messages[count:], None, 0)

    def _receive(self) -> None:
        pair = self._pair
        if pair is not None and pair[0].made_by == os.getpid() and pair[0].intact:
            receive = partial(pair[0].socket.recv, _DATAGRAM_BYTES)
            with suppress(OSError):  # there is none at present
                self._received.extend(iter(receive, b""))

    def _close_pair(self) -> None:
        pair, self._pair = self._pair, None
        for end in pair or ():
            end.close()

    # -- in the child --------------------------------------------------------------

    @property
    def leads_to_parent(self) -> bool:
        """Whether this process can hand over to the one that has forked it."""
        end = self._to_parent
        return end is not None and end.made_by == os.getppid() and end.intact

    def take(self, batch: Batch) -> bool:
        """Hand *batch* over without waiting; return whether the parent will have it."""
        end = self._to_parent
        if end is None or not self.leads_to_parent:
            return False
        message = batch.created_ms.to_bytes(8, "big") + batch.text
        try:
            end.socket.send(message, socket.MSG_NOSIGNAL)
        except OSError:  # it is full, or the parent reads no more
            return False
        return True


def _merged(messages: Sequence[bytes]) -> tuple[Batch, Batch, int]:
    """Return metadata and points of the first messages, and of how many they are.

    Each of the two batches may be empty.
    """
    metadata: dict[bytes, None] = {}
    points: list[bytes] = []
    lines = size = count = 0
    for count, message in enumerate(messages, 1):
        text = message[8:]
        added = text.count(b"\n") + 1
        if points and (lines + added > LINES_LIMIT or size + len(text) > BYTES_LIMIT):
            count -= 1  # noqa: PLW2901
            break
        if text.startswith(b"#"):
            metadata.update(dict.fromkeys(text.split(b"\n")))
            continue
        points.append(text)
        lines, size = lines + added, size + len(text)
    created_ms = int.from_bytes(messages[0][:8], "big")
    text = b"\n".join(points)
    return (
        Batch(b"\n".join(metadata), (), created_ms),
        Batch(text, identities_of(text) if points else (), created_ms),
        count,
    )


class _Next(NamedTuple):
    """The messages that are not in the outbox, and the batch of the first *merged*."""

    messages: list[bytes]
    batch: Batch | None
    merged: int


class _End:
    """An end of a pair of sockets.

    A process that becomes a daemon closes all descriptors, and their numbers may become
    those of other files. So each is used only as long as it is this socket.
    """

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0.0)  # no call waits
        self.socket = end
        self.made_by = os.getpid()
        self._file = _file_of(end)

    @property
    def intact(self) -> bool:
        """Whether the descriptor is still that of this socket."""
        return _file_of(self.socket) == self._file

    def close(self) -> None:
        """Close this end, unless its descriptor has become that of another file."""
        if self.intact:
            self.socket.close()
        else:
            self.socket.detach()


def _file_of(end: socket.socket) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.fstat(end.fileno())
        return status.st_dev, status.st_ino
    return None

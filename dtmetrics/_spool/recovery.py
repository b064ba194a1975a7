"""What dead processes have left in a spool, for who is alive to send."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory
from dtmetrics._spool.index import TRIED, WAITS, Copy, Holdings
from dtmetrics._spool.record import RECORD_LIMIT, TEXT_LIMIT
from dtmetrics.exporters import Batch

__all__ = ["LOOK_SECONDS", "Recovery"]

_BAD = ".bad"
_MOST_BAD = 10

#: How often somebody looks for what dead processes have left.
LOOK_SECONDS = 300.0
# What one call of adopt() reads: it bounds memory, and the flusher's time.
_ADOPT_BYTES = TEXT_LIMIT
# Each takes two file descriptors from the application.
_MOST_FOLDERS = 16


class Recovery:
    """Takes over what nobody holds, and adds it to what is *held* here."""

    def __init__(
        self,
        held: Holdings,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        max_age: float,
    ) -> None:
        self._held = held
        self._ground = held.ground
        self._now_ms = now_ms
        self._clock = clock
        self._max_age_ms = max_age * 1000
        self._look_at = -math.inf
        self.adopted = self.corrupt = 0

    def adopt(self) -> list[tuple[Batch, bool]]:
        """Return bodies that dead processes left, each with whether it is in doubt.

        From then on they are as if kept. Returns about 4 MB of text at most; the rest
        comes with later calls. However often called, it looks for more now and then.
        """
        if self._clock() >= self._look_at and not self._has_enough():
            self._look_at = self._clock() + LOOK_SECONDS
            call_safely(self._look, default=None, on_error=self._held.failed)
        found: list[tuple[Batch, bool]] = []
        if self._held.unread:
            room = _ADOPT_BYTES
            while self._held.unread and room > 0:
                copy = self._held.unread.popleft()
                room -= call_safely(
                    self._read, copy, found, default=0, on_error=self._held.failed
                )
            self._held.tidy()
        return found

    def _has_enough(self) -> bool:
        held = self._held
        return len(held.folders) >= _MOST_FOLDERS or held.size >= held.max_bytes

    def _look(self) -> None:
        try:
            with self._ground.opened() as tenant:
                self._look_in(tenant)
        except FileNotFoundError:
            return  # nobody has ever kept anything
        self._held.unread = deque(sorted(self._held.unread, key=lambda it: it.name))
        self._held.tidy()
        self._held.stay_within_bounds()

    def _look_in(self, tenant: int) -> None:
        for name in set(os.listdir(tenant)) - self._held.folders.keys():
            if self._has_enough():
                self._look_at = -math.inf  # again, once it has not
                break
            if name.startswith("p-"):
                call_safely(
                    self._take, name, tenant, default=None, on_error=self._held.failed
                )

    def _take(self, name: str, tenant: int) -> None:
        """Take the folder *name* over, if it is of a dead process."""
        folder = self._held.folders[name] = Directory(name)
        taken = False
        try:
            if folder.take(tenant, self._now_ms() / 1000):
                names = [n for n in folder.names() if n.endswith((WAITS, TRIED))]
                copies = [Copy(folder, n, folder.status(n).st_size) for n in names]
                self._held.unread += filter(self._has_right_size, copies)
                taken = True
                # What has nothing to read goes at once, and counts for none held.
                self._held.tidy()
        finally:
            if not taken:
                self._held.let_go(folder)

    def _has_right_size(self, copy: Copy) -> bool:
        """Whether *copy* may be ours; else it goes, before it makes others go."""
        if copy.size <= RECORD_LIMIT:
            return True
        self.corrupt += 1
        self._held.delete(copy)
        return False

    def _read(self, copy: Copy, found: list[tuple[Batch, bool]]) -> int:
        """Add the body of *copy* to *found*; return how much there was to read."""
        stored = copy.read()
        if stored is None:
            self.corrupt += 1
            self._quarantine(copy)
            return copy.size
        body = stored.body
        if self._now_ms() - body.created_ms > self._max_age_ms:
            self._held.lost["too old"] += stored.points
            self._held.delete(copy)
        else:
            self.adopted += 1
            copy.body = body
            self._held.known[id(body)] = copy
            found.append((body, copy.name.endswith(TRIED)))
        return len(body.text)

    def _quarantine(self, copy: Copy) -> None:
        """Keep a file that is not what was written, for whoever looks into it."""
        with self._ground.opened() as tenant:
            kept = sum(name.endswith(_BAD) for name in os.listdir(tenant))
            if kept < _MOST_BAD:
                # Cut, because anybody may have named it.
                name = f"{copy.name[:64]}.{copy.folder.name}{_BAD}"
                copy.folder.rename(copy.name, name, tenant)
            else:
                copy.folder.delete(copy.name)

"""Safety copies on disk of bodies that wait: what a killed process leaves to others.

::

    <root>/<16 hex digits of the tenant>/     for all who send to the same endpoint
        p-<pid>-<random>/                     of one process, which holds its lock
            lock
            <created_ms>-<id>.b               waits
            <created_ms>-<id>.try             may have been taken by the endpoint
        <file>.<folder>.bad                   not what was written; ten are kept

A file appears whole or not at all, and nothing says elsewhere what is in it: there is
no index that could disagree with it after a crash.
"""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dtmetrics._deliver.exporter import Body
from dtmetrics._deliver.spool.folder import Folder, can_lock
from dtmetrics._deliver.spool.ground import Ground
from dtmetrics._deliver.spool.holdings import Copy, Holdings
from dtmetrics._deliver.spool.stored import RECORD_LIMIT, TEXT_LIMIT, encode
from dtmetrics._record.guard import attempt
from dtmetrics.errors import ConfigError

__all__ = ["Spool", "SpoolAccount"]

_WAITS, _TRIED, _BAD = ".b", ".try", ".bad"
_MOST_BAD = 10

_LOOK_SECONDS = 300.0
_PAUSE_SECONDS = 60.0
# What one call of adopt() reads: it bounds memory, and the flusher's time.
_ADOPT_BYTES = TEXT_LIMIT
# Each takes two file descriptors from the application.
_MOST_FOLDERS = 16


class SpoolAccount(NamedTuple):
    """What is on disk now, and what has happened there so far.

    ``lost`` counts, by reason, data points of dead processes that nobody will send;
    ``failures`` counts what could not be done on disk.
    """

    stored: int
    bytes: int
    adopted: int
    corrupt: int
    lost: Mapping[str, int]
    failures: Mapping[str, int]


class Spool:
    """Keeps copies of bodies below *root*, and adopts those of dead processes.

    *tenant* tells endpoints apart: what was meant for one is never given to another.
    It may name a token, never hold its secret part. Called by one thread at a time.
    ConfigError says that *root* cannot be used; nothing is raised after that: what
    cannot be done on disk is counted, and the body lives on in memory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        tenant: str,
        *,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        max_bytes: int = 64 << 20,
        max_age: float = 55 * 60,
        max_files: int = 5_000,
        force: bool = False,
    ) -> None:
        if not can_lock():
            raise ConfigError(["spool needs file locks that this system has not got"])
        self._ground = Ground(root, tenant, force=force)
        self._now_ms = now_ms
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_age_ms = max_age * 1000
        self._max_files = max_files
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self._held = Holdings(self._ground)
        self._look_at = self._keep_at = -math.inf
        self._adopted = self._corrupt = 0
        self._lost: Counter[str] = Counter()

    def reset_after_fork(self) -> None:
        """In a forked child: what is on disk is the parent's, and so are its locks."""
        self._held.reset_after_fork()
        self._renew()

    def account(self) -> SpoolAccount:
        """Return what is on disk, and what has happened there."""
        held = self._held
        # Copied each in one step: another thread may be at work here.
        copies = [*held.known.copy().values(), *held.unread.copy()]
        sizes = [copy.size for copy in copies]
        return SpoolAccount(
            len(sizes),
            sum(sizes),
            self._adopted,
            self._corrupt,
            dict(self._lost),
            dict(held.failures),
        )

    # -- bodies of this process ------------------------------------------------------

    def keep(self, body: Body, *, in_doubt: bool = False) -> None:
        """Store *body*, unless it is: from here on it outlives this process.

        *in_doubt*: it may have been taken by the endpoint already.
        """
        if id(body) in self._held.known:
            if in_doubt:
                self.trying(body)
        elif body.identities and self._clock() >= self._keep_at:
            attempt(self._store, body, in_doubt, default=None, on_error=self._pause)

    def kept(self) -> list[Body]:
        """Return the bodies that have a copy."""
        return [copy.body for copy in self._held.known.values() if copy.body]

    def trying(self, body: Body) -> None:
        """Note, before *body* is sent, that its outcome will be in doubt."""
        if copy := self._held.known.get(id(body)):
            copy.name_before = "" if copy.name.endswith(_TRIED) else copy.name
            if copy.name_before:
                self._held.rename(copy, copy.name.removesuffix(_WAITS) + _TRIED)

    def back(self, body: Body) -> None:
        """Note that *body* was certainly not taken by the attempt just made."""
        copy = self._held.known.get(id(body))
        # What was in doubt before that attempt still is.
        if copy and copy.name_before:
            self._held.rename(copy, copy.name_before)
            copy.name_before = ""

    def forget(self, body: Body) -> None:
        """Delete the copy of *body*: it has been answered, or given up."""
        if copy := self._held.known.pop(id(body), None):
            self._held.delete(copy)
            if copy.folder is not self._held.own:
                self._held.tidy()

    def close(self) -> None:
        """Leave what is still stored to other processes, and nothing besides."""
        self._held.known.clear()
        self._held.unread.clear()
        self._held.own = None
        self._held.tidy()

    def _store(self, body: Body, in_doubt: bool) -> None:
        batch_id = os.urandom(16)
        record = encode(body, batch_id)
        if len(body.text) > TEXT_LIMIT or len(record) > self._max_bytes:
            self._held.failures["too large"] += 1
            return
        name = f"{body.created_ms:015}-{batch_id.hex()}{_TRIED if in_doubt else _WAITS}"
        folder = self._held.own or self._make_own()
        try:
            folder.put(name, record)
        except FileNotFoundError:
            self._begin_anew(folder)
            raise
        self._held.known[id(body)] = Copy(folder, name, len(record), body)
        self._stay_within_bounds()

    def _make_own(self) -> Folder:
        folder = Folder()
        with self._ground.opened(make=True) as tenant:
            self._held.folders[folder.name] = folder
            try:
                folder.make(tenant)
            except BaseException:
                self._held.let_go(folder)
                raise
        self._held.own = folder
        return folder

    def _begin_anew(self, gone: Folder) -> None:
        """Give up our folder: somebody has removed it, and all that was in it."""
        held = self._held
        held.known = {k: c for k, c in held.known.items() if c.folder is not gone}
        held.own = None
        held.let_go(gone)

    def _pause(self, error: Exception) -> None:
        """Keep nothing for a while: a full disk is not helped by trying again."""
        self._held.failed(error)
        self._keep_at = self._clock() + _PAUSE_SECONDS

    def _stay_within_bounds(self) -> None:
        for copy in self._held.take_out_oldest(self._max_files, self._max_bytes):
            if copy.body is not None:
                self._held.failures["spool full"] += 1
            elif stored := attempt(copy.read, default=None):
                self._lost["spool full"] += stored.points
            self._held.delete(copy)
        self._held.tidy()

    # -- bodies of dead processes ----------------------------------------------------

    def adopt(self) -> list[tuple[Body, bool]]:
        """Return bodies that dead processes left, each with whether it is in doubt.

        From then on they are as if kept. Returns about 4 MB of text at most; the rest
        comes with later calls. However often called, it looks for more now and then.
        """
        if self._clock() >= self._look_at and not self._has_enough():
            self._look_at = self._clock() + _LOOK_SECONDS
            attempt(self._look, default=None, on_error=self._held.failed)
        found: list[tuple[Body, bool]] = []
        if self._held.unread:
            room = _ADOPT_BYTES
            while self._held.unread and room > 0:
                copy = self._held.unread.popleft()
                room -= attempt(
                    self._read, copy, found, default=0, on_error=self._held.failed
                )
            self._held.tidy()
        return found

    def _has_enough(self) -> bool:
        held = self._held
        return len(held.folders) >= _MOST_FOLDERS or held.size >= self._max_bytes

    def _look(self) -> None:
        try:
            with self._ground.opened() as tenant:
                self._look_in(tenant)
        except FileNotFoundError:
            return  # nobody has ever kept anything
        self._held.unread = deque(sorted(self._held.unread, key=lambda it: it.name))
        self._held.tidy()
        self._stay_within_bounds()

    def _look_in(self, tenant: int) -> None:
        for name in set(os.listdir(tenant)) - self._held.folders.keys():
            if self._has_enough():
                self._look_at = -math.inf  # again, once it has not
                break
            if name.startswith("p-"):
                attempt(
                    self._take, name, tenant, default=None, on_error=self._held.failed
                )

    def _take(self, name: str, tenant: int) -> None:
        """Take the folder *name* over, if it is of a dead process."""
        folder = self._held.folders[name] = Folder(name)
        taken = False
        try:
            if folder.take(tenant, self._now_ms() / 1000):
                names = [n for n in folder.names() if n.endswith((_WAITS, _TRIED))]
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
        self._corrupt += 1
        self._held.delete(copy)
        return False

    def _read(self, copy: Copy, found: list[tuple[Body, bool]]) -> int:
        """Add the body of *copy* to *found*; return how much there was to read."""
        stored = copy.read()
        if stored is None:
            self._corrupt += 1
            self._set_aside(copy)
            return copy.size
        body = stored.body
        if self._now_ms() - body.created_ms > self._max_age_ms:
            self._lost["too old"] += stored.points
            self._held.delete(copy)
        else:
            self._adopted += 1
            copy.body = body
            self._held.known[id(body)] = copy
            found.append((body, copy.name.endswith(_TRIED)))
        return len(body.text)

    def _set_aside(self, copy: Copy) -> None:
        """Keep a file that is not what was written, for whoever looks into it."""
        with self._ground.opened() as tenant:
            kept = sum(name.endswith(_BAD) for name in os.listdir(tenant))
            if kept < _MOST_BAD:
                # Cut, because anybody may have named it.
                name = f"{copy.name[:64]}.{copy.folder.name}{_BAD}"
                copy.folder.rename(copy.name, name, tenant)
            else:
                copy.folder.delete(copy.name)

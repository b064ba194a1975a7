"""Safety copies on disk of bodies that wait: what a killed process leaves to others.

::

    <root>/<16 hex digits of the tenant>/     for all who send to the same endpoint
        p-<pid>-<random>/                     of one process, which holds its lock
            lock
            <created_ms>-<id>.b               waits
            <created_ms>-<id>.try             may have been taken by the endpoint
            plan                              which of them take the place of which
        <file>.<folder>.bad                   not what was written; ten are kept

A file appears whole or not at all, and nothing says elsewhere what is in it: there is
no index that could disagree with it after a crash. The plan is there for a moment,
while some of them are put together.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory, can_lock
from dtmetrics._spool.index import TRIED, WAITS, Copy, Holdings
from dtmetrics._spool.record import TEXT_LIMIT, encode
from dtmetrics._spool.recovery import Recovery
from dtmetrics._spool.root import Ground
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch

__all__ = ["Spool", "SpoolAccount"]

_PAUSE_SECONDS = 60.0


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
        self._max_age = max_age
        self._max_files = max_files
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self._held = Holdings(self._ground, self._max_files, self._max_bytes)
        self._estate = Recovery(self._held, self._now_ms, self._clock, self._max_age)
        self._keep_at = -math.inf

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
            self._estate.adopted,
            self._estate.corrupt,
            dict(held.lost),
            dict(held.failures),
        )

    def adopt(self) -> list[tuple[Batch, bool]]:
        """Return bodies that dead processes left, each with whether it is in doubt.

        From then on they are as if kept. Returns about 4 MB of text at most; the rest
        comes with later calls. However often called, it looks for more now and then.
        """
        return self._estate.adopt()

    def keep(self, body: Batch, *, in_doubt: bool = False) -> None:
        """Store *body*, unless it is: from here on it outlives this process.

        *in_doubt*: it may have been taken by the endpoint already.
        """
        if id(body) in self._held.known:
            if in_doubt:
                self.trying(body)
        elif body.identities and self._clock() >= self._keep_at:
            call_safely(self._store, body, in_doubt, default=None, on_error=self._pause)

    def exchange(
        self, gone: Iterable[Batch], come: Iterable[tuple[Batch, bool]]
    ) -> None:
        """Store what is new of *come*, as ``keep()`` does, in place of *gone*.

        Who is killed meanwhile leaves one or the other, and never both, of what is in
        this process's own folder.
        """
        folder, known = self._held.own, self._held.known
        copies = {id(body): known.get(id(body)) for body in gone}
        own = {k: c for k, c in copies.items() if c and c.folder is folder}
        new = [(b, doubt) for b, doubt in come if b.identities and id(b) not in known]
        if folder and own and new and self._clock() >= self._keep_at:
            call_safely(
                self._exchange, folder, own, new, default=None, on_error=self._pause
            )

    def has(self, body: Batch) -> bool:
        """Return whether *body* has a copy."""
        return id(body) in self._held.known

    def kept(self) -> list[Batch]:
        """Return the bodies that have a copy."""
        return [copy.body for copy in self._held.known.values() if copy.body]

    def trying(self, body: Batch) -> None:
        """Note, before *body* is sent, that its outcome will be in doubt."""
        if copy := self._held.known.get(id(body)):
            copy.name_before = "" if copy.name.endswith(TRIED) else copy.name
            if copy.name_before:
                self._held.rename(copy, copy.name.removesuffix(WAITS) + TRIED)

    def back(self, body: Batch) -> None:
        """Note that *body* was certainly not taken by the attempt just made."""
        copy = self._held.known.get(id(body))
        # What was in doubt before that attempt still is.
        if copy and copy.name_before:
            self._held.rename(copy, copy.name_before)
            copy.name_before = ""

    def forget(self, body: Batch) -> None:
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

    def _store(self, body: Batch, in_doubt: bool) -> None:
        named = self._encoded(body, in_doubt)
        if named is None:
            return
        name, record = named
        folder = self._held.own or self._make_own()
        try:
            folder.put(name, record)
        except FileNotFoundError:
            self._begin_anew(folder)
            raise
        self._held.known[id(body)] = Copy(folder, name, len(record), body)
        self._held.stay_within_bounds()

    def _exchange(
        self,
        folder: Directory,
        gone: Mapping[int, Copy],
        come: Iterable[tuple[Batch, bool]],
    ) -> None:
        copies, records = {}, {}
        for body, in_doubt in come:
            if named := self._encoded(body, in_doubt):
                name, records[name] = named
                copies[id(body)] = Copy(folder, name, len(records[name]), body)
        if not records:
            return
        try:
            folder.announce([copy.name for copy in gone.values()], records)
        except FileNotFoundError:
            self._begin_anew(folder)
            raise
        known = {k: copy for k, copy in self._held.known.items() if k not in gone}
        self._held.known = known | copies
        # What is left undone is done at the next one, or by who adopts it.
        call_safely(folder.carry_out, default=None, on_error=self._pause)
        self._held.stay_within_bounds()

    def _encoded(self, body: Batch, in_doubt: bool) -> tuple[str, bytes] | None:
        batch_id = os.urandom(16)
        record = encode(body, batch_id)
        if len(body.text) > TEXT_LIMIT or len(record) > self._max_bytes:
            self._held.failures["too large"] += 1
            return None
        ending = TRIED if in_doubt else WAITS
        return f"{body.created_ms:015}-{batch_id.hex()}{ending}", record

    def _make_own(self) -> Directory:
        folder = Directory()
        with self._ground.opened(make=True) as tenant:
            self._held.folders[folder.name] = folder
            try:
                folder.make(tenant)
            except BaseException:
                self._held.let_go(folder)
                raise
        self._held.own = folder
        return folder

    def _begin_anew(self, gone: Directory) -> None:
        """Give up our folder: somebody has removed it, and all that was in it."""
        held = self._held
        held.known = {k: c for k, c in held.known.items() if c.folder is not gone}
        held.own = None
        held.let_go(gone)

    def _pause(self, error: Exception) -> None:
        """Keep nothing for a while: a full disk is not helped by trying again."""
        self._held.failed(error)
        self._keep_at = self._clock() + _PAUSE_SECONDS

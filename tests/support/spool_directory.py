"""A directory for spools, with a clock that tests advance."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from dtmetrics._protocol.point import Identity
from dtmetrics._spool.spool import Spool, SpoolLimits
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT
from tests.support.script import expect

_DISK_CALL = re.compile(r"\b(write|fsync|rename|unlink)\w*\(\d+<([^>]*)>(.*)")


class SpoolDirectory:
    """A root for spools. Each ``spool()`` acts as a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds = 0.0

    def spool(self, tenant: str = "here", **limits: Any) -> Spool:
        """Return a new spool; *limits* are fields of ``SpoolLimits``."""
        return Spool(
            self.root,
            tenant,
            now_ms=lambda: self.now_ms,
            clock=self.clock,
            limits=SpoolLimits(**limits),
        )

    @property
    def now_ms(self) -> int:
        return MOMENT + int(self.seconds * 1000)

    def clock(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def batch(self, *lines: str) -> Batch:
        """Return a batch created now."""
        return a_batch(*lines, created_ms=self.now_ms)

    def noise(self, size: int) -> Batch:
        """Return a batch that does not compress below *size* bytes."""
        text = os.urandom(size).replace(b"\n", b"")
        return Batch(text, (Identity("noise", "noise"),), self.now_ms)

    def dead(self, *batches: Batch, tenant: str = "here") -> Path:
        """Store *batches* as a process that is then killed; return its directory."""
        before = {*self.directories()}
        spool = self.spool(tenant)
        for batch in batches:
            spool.store(batch)
        kill(spool)
        (directory,) = {*self.directories()} - before
        self.set_age(directory, 0)
        return directory

    def set_age(self, path: Path, seconds: float) -> None:
        """Set the modification time of *path* to *seconds* ago."""
        moment = self.now_ms / 1000 - seconds
        os.utime(path, (moment, moment))

    def directories(self) -> list[Path]:
        """Return the directories of all processes, sorted."""
        return sorted(self.root.glob("*/p-*"))

    def suffixes(self) -> list[str]:
        """Return the suffixes of all batch files, the oldest batch first."""
        paths = self.root.glob("*/p-*/*")
        names = sorted(path.name for path in paths if path.name != "lock")
        return [name.partition(".")[2] for name in names]


def kill(spool: Spool) -> None:
    """End *spool* as a kill ends its process: descriptors close, no code runs."""
    spool.reset_after_fork()


def texts(recovered: list[tuple[Batch, bool]]) -> list[str]:
    """Return the text of each batch, with a question mark if it is indeterminate."""
    return [batch.text.decode() + "?" * maybe for batch, maybe in recovered]


def troubles(spool: Spool) -> dict[str, int]:
    """Return from the account what was corrupt, dropped or failed."""
    healthy = ("batches", "bytes", "recovered")
    return {key: n for key, n in spool.account().items() if key not in healthy}


SWAPS = """
import contextlib, itertools, json, os, sys, threading
from dtmetrics.exporters import Batch
from dtmetrics._spool.spool import Spool
from dtmetrics._protocol.point import Identity

root, outside = sys.argv[1] + "/root", sys.argv[1] + "/outside"
os.mkdir(root, 0o700)
os.mkdir(outside, 0o755)
open(outside + "/file", "x").close()
os.chown(outside, 65534, 65534)
number = os.stat(outside).st_ino
stop = threading.Event()

def swap():
    for number in itertools.count():
        aside = f"{root}-{number}"
        for what, *names in [
            (os.rename, root, aside),
            (os.symlink, outside, root),
            (os.unlink, root),
            (os.rename, outside, root),
            (os.rename, root, outside),
            (os.rename, aside, root),
        ]:
            # Fails where the spool has created a new root meanwhile.
            with contextlib.suppress(OSError):
                what(*names)
        if stop.is_set():
            return

sys.setswitchinterval(1e-5)
now = [0.0]
spool = Spool(root, "here", now_ms=lambda: 0, clock=lambda: now[0])
thread = threading.Thread(target=swap)
thread.start()
for _ in range(int(sys.argv[2])):
    batch = Batch(b"a count,delta=1", (Identity("a", "a"),), 0)
    now[0] += 1000
    spool.store(batch)
    spool.recover()
    spool.close()
stop.set()
thread.join()
(outside,) = [path for path in os.scandir(sys.argv[1]) if path.inode() == number]
print(json.dumps([len(spool.account()) > 3, os.listdir(outside)]))
"""


def swapped(directory: Path | str, rounds: int) -> tuple[bool, list[str]]:
    """Store and recover while the root is swapped for a link and a foreign directory.

    Return whether the spool counted a failure, and the names in the foreign directory,
    which held one ``file`` before.
    """
    failed, names = json.loads(expect(SWAPS, directory, rounds))
    return failed, names


def disk_call(line: str, root: Path | str) -> str:
    """Return the call on a file below *root* in a *line* of ``strace -y``, or "".

    The call is followed by the suffix of the file, for a rename that of the new name.
    """
    found = _DISK_CALL.search(line)
    if found is None or str(root) not in found[2]:
        return ""
    call, path, more = found.groups()
    name = re.findall(r'"([^"]*)"', more)[-1] if call in ("rename", "unlink") else path
    return f"{call} {Path(name).suffix or 'directory'}"

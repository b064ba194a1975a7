"""A directory with spools in it, and the time that they see."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from dtmetrics._protocol.point import Identity
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_body
from tests.support.recorder import MOMENT
from tests.support.script import expect

_DISK_CALL = re.compile(r"\b(write|fsync|rename|unlink)\w*\(\d+<([^>]*)>(.*)")


class Place:
    """A root directory, and spools below it: each as of a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds = 0.0

    def spool(self, tenant: str = "here", **more: Any) -> Spool:
        return Spool(
            self.root, tenant, now_ms=lambda: self.now_ms, clock=self.clock, **more
        )

    @property
    def now_ms(self) -> int:
        return MOMENT + int(self.seconds * 1000)

    def clock(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def body(self, *lines: str) -> Batch:
        """Return a body that is made now."""
        return a_body(*lines, created_ms=self.now_ms)

    def noise(self, size: int) -> Batch:
        """Return a body that zlib cannot make smaller than *size*."""
        text = os.urandom(size).replace(b"\n", b"")
        return Batch(text, (Identity("noise", "noise"),), self.now_ms)

    def dead(self, *bodies: Batch, tenant: str = "here") -> Path:
        """Store *bodies* as a process that is killed then; return its folder."""
        before = {*self.folders()}
        spool = self.spool(tenant)
        for body in bodies:
            spool.keep(body)
        killed(spool)
        (folder,) = {*self.folders()} - before
        self.age(folder, 0)
        return folder

    def age(self, path: Path, seconds: float) -> None:
        """Let *path* look as if it was last changed so long ago."""
        moment = self.now_ms / 1000 - seconds
        os.utime(path, (moment, moment))

    def folders(self) -> list[Path]:
        return sorted(self.root.glob("*/p-*"))

    def files(self) -> list[str]:
        """Return the endings of all files of bodies, the oldest first."""
        paths = self.root.glob("*/p-*/*")
        names = sorted(path.name for path in paths if path.name != "lock")
        return [name.partition(".")[2] for name in names]


def killed(spool: Spool) -> None:
    """Let *spool* go the way of a killed process: nothing runs, descriptors close."""
    spool.reset_after_fork()


def texts(adopted: list[tuple[Batch, bool]]) -> list[str]:
    """Return what was adopted; with a question mark if its outcome is in doubt."""
    return [body.text.decode() + "?" * in_doubt for body, in_doubt in adopted]


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
            # Where the spool has made a new root meanwhile.
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
    body = Batch(b"a count,delta=1", (Identity("a", "a"),), 0)
    now[0] += 1000
    spool.keep(body)
    spool.adopt()
    spool.close()
stop.set()
thread.join()
(outside,) = [path for path in os.scandir(sys.argv[1]) if path.inode() == number]
print(json.dumps([bool(spool.account().failures), os.listdir(outside)]))
"""


def swapped(place: Path | str, rounds: int) -> tuple[bool, list[str]]:
    """Keep and adopt in a root that is swapped for a link, and for another's, meanwhile.

    Return whether that was noticed, and what is in the other's directory then, where
    there was a ``file``.
    """
    noticed, found = json.loads(expect(SWAPS, place, rounds))
    return noticed, found


def disk_call(line: str, root: Path | str) -> str:
    """Return what a *line* of ``strace -y`` says was done below *root*, if anything.

    That is a call and the kind of file that it was for; a rename's is the new one.
    """
    found = _DISK_CALL.search(line)
    if found is None or str(root) not in found[2]:
        return ""
    call, path, more = found.groups()
    name = re.findall(r'"([^"]*)"', more)[-1] if call in ("rename", "unlink") else path
    return f"{call} {Path(name).suffix or 'directory'}"

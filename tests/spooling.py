"""A directory with spools in it, and the time that they see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dtmetrics._deliver.exporter import Body
from dtmetrics._deliver.spool.spool import Spool
from dtmetrics._wire.point import Identity
from tests.contract import a_body
from tests.recorder import MOMENT


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

    def body(self, *lines: str) -> Body:
        """Return a body that is made now."""
        return a_body(*lines, created_ms=self.now_ms)

    def noise(self, size: int) -> Body:
        """Return a body that zlib cannot make smaller than *size*."""
        text = os.urandom(size).replace(b"\n", b"")
        return Body(text, (Identity("noise", "noise"),), self.now_ms)

    def dead(self, *bodies: Body, tenant: str = "here") -> Path:
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


def texts(adopted: list[tuple[Body, bool]]) -> list[str]:
    """Return what was adopted; with a question mark if its outcome is in doubt."""
    return [body.text.decode() + "?" * in_doubt for body, in_doubt in adopted]

"""``dtmetrics dev`` in a process of its own, and programs that send to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.endpoint import PATIENCE

__all__ = ["ReceiverProcess", "receiver_process"]


class ReceiverProcess:
    """The receiver at *address*."""

    def __init__(self, address: str) -> None:
        self.address = address

    def run(
        self, program: Path, *, python: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run *program* as a user would, with the receiver in place of a OneAgent."""
        environ = {**os.environ, "DTMETRICS_ENDPOINT": self.address}
        return subprocess.run(
            [sys.executable, *python, str(program)],
            cwd=program.parent,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def page(self) -> str:
        """Return the page that a browser shows."""
        return self._get("/")

    def series(self) -> list[dict[str, Any]]:
        """Return what has arrived; assert that no line was rejected."""
        snapshot: Mapping[str, Any] = json.loads(self._get("/api/series"))
        assert snapshot["rejected"] == []
        found: list[dict[str, Any]] = snapshot["series"]
        return found

    def total(self, key: str, **dimensions: str) -> float:
        """Return a counter's total, or the number of observations of another kind.

        The series must have *dimensions*, and may have others.
        """
        return sum(
            each["sum" if each["kind"] == "count" else "count"]
            for each in self.series()
            if each["key"] == key and dimensions.items() <= each["dimensions"].items()
        )

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.address}{path}") as answer:
            return str(answer.read().decode())


@contextmanager
def receiver_process() -> Iterator[ReceiverProcess]:
    """Run ``dtmetrics dev`` on a free port until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dtmetrics", "dev", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout
            address = process.stdout.readline().rpartition(" ")[2].strip()
            assert address, "the receiver did not start"
            yield ReceiverProcess(address)
        finally:
            process.terminate()

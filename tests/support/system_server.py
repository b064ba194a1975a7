"""A server from a package of the system, which a test runs for itself on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from tests.support.endpoint import PATIENCE

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SystemServer", "server_program"]


def server_program(name: str) -> str:
    """Return the path of a server; skip the test if it is not installed."""
    # Debian's administrators have some in their path, and other users do not.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class SystemServer:
    """Runs *command* in a ``with`` block, which begins when it listens at *port*."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._command = command
        self._port = port

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(int(PATIENCE * 50)):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self._port)):
                    return self
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        self._process.kill()
        raise AssertionError(self._process.communicate()[0].decode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE)

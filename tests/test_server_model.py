from __future__ import annotations

import multiprocessing
import os
import platform
import sysconfig
from importlib.metadata import PackageNotFoundError

import pytest

from dtmetrics._doctor import server_model
from dtmetrics._doctor.server_model import process_findings


def test_process() -> None:
    """Python and the start method of processes are named, and no method is chosen."""
    before = multiprocessing.get_start_method(allow_none=True)
    python, fork, *_ = process_findings()
    assert platform.python_version() in python.text
    assert multiprocessing.get_all_start_methods()[0] in fork.text
    assert multiprocessing.get_start_method(allow_none=True) == before


def test_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server that is installed has its rule, and the page that explains it."""

    def version(package: str) -> str:
        if package != "gunicorn":
            raise PackageNotFoundError
        return "23.0"

    monkeypatch.setattr(server_model, "version", version)
    [finding] = [each for each in process_findings() if each.check == "server"]
    assert finding.text.startswith("gunicorn 23.0: each worker records")
    assert finding.text.endswith("/platforms/gunicorn/)")


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without fork, and a free-threaded Python, are named as such."""
    monkeypatch.delattr(os, "fork", raising=False)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 1)
    _, fork, *_ = process_findings()
    assert fork.text.startswith("processes do not fork here; ")
    assert fork.text.endswith(", free-threaded")

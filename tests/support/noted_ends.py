"""Ends of a process that a test notes, and that end nothing."""

from __future__ import annotations

import os

import pytest

from dtmetrics._runtime import process_ends


def noted_ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let os._exit() and os.exec*() return; return the list of their first arguments."""
    noted: list[int] = []
    monkeypatch.setattr(process_ends, "_calls", {})
    for name in ("_exit", "execv", "execve"):
        monkeypatch.setattr(os, name, lambda first, *_: noted.append(first))
    return noted

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.spool_directory import SpoolDirectory, troubles

if not hasattr(os, "fork"):
    pytest.skip("the spool needs flock()", allow_module_level=True)


@pytest.fixture
def directory(tmp_path: Path) -> SpoolDirectory:
    """Return a directory for spools."""
    return SpoolDirectory(tmp_path)


def test_too_old(directory: SpoolDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """Batches that are too old are counted, and logged with their path and age."""
    dead = directory.dead(directory.batch("a 1"), directory.batch("b 1"))
    directory.advance(75 * 60)
    spool = directory.spool()
    assert spool.recover() == []
    assert troubles(spool) == {"dropped: too old": 2}
    assert caplog.messages == [
        f"dtmetrics: cannot recover 2 batches in {dead}, up to 75 minutes old: "
        "they are too old"
    ]


def test_corrupt(directory: SpoolDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """A corrupt batch is logged with its path, and its age if its name holds one."""
    dead = directory.dead(directory.batch("a 1"), directory.batch("b 1"))
    for path in dead.glob("*.b"):
        path.write_bytes(b"corrupt")
    directory.advance(120)
    assert directory.spool().recover() == []
    foreign = directory.dead(directory.batch("a 1"))
    (path,) = foreign.glob("*.b")
    path.write_bytes(b"corrupt")
    path.rename(foreign / "foreign.b")
    assert directory.spool().recover() == []
    reason = "they are corrupt"
    assert [
        text.removeprefix("dtmetrics: cannot recover ") for text in caplog.messages
    ] == [
        f"2 batches in {dead}, up to 2 minutes old: {reason}",
        f"1 batch in {foreign}, of unknown age: {reason}",
    ]


def test_no_room(directory: SpoolDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that is deleted unread, because the spool is full, is logged."""
    dead = directory.dead(directory.batch("a 1"), directory.batch("b 1"))
    spool = directory.spool(max_files=1)
    assert len(spool.recover()) == 1
    assert troubles(spool) == {"dropped: spool full": 1}
    assert f"1 batch in {dead}, up to 0 minutes old: the spool is full" in caplog.text


def test_other_endpoints(
    directory: SpoolDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """What is too old for another endpoint is counted, logged once, and left alone."""
    left = directory.dead(
        directory.batch("a 1"), directory.batch("b 1"), tenant="other"
    )
    (left / "foreign").touch()
    (directory.root / "file").touch()
    (directory.root / "empty").mkdir()
    (directory.root / "empty" / "file").touch()
    directory.dead(directory.batch("c 1"))
    spool = directory.spool()
    assert len(spool.recover()) == 1
    assert troubles(spool) == {}
    assert caplog.messages == []
    directory.advance(56 * 60)
    for _ in range(3):
        assert spool.recover() == []
        directory.advance(300)
    assert troubles(spool) == {"expired: other endpoint": 2}
    assert caplog.messages == [
        f"dtmetrics: cannot recover 2 batches in {left}, up to 56 minutes old: "
        "they are for another endpoint, and too old"
    ]
    assert len(list(left.glob("*.b"))) == 2

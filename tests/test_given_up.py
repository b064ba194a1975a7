"""An endpoint that does not answer is noted for a minute, in a file of the user."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from dtmetrics._core import users_file
from dtmetrics._runtime.given_up import GivenUp

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX")

ENDPOINT = "https://abc12345.live.dynatrace.com/api/v2/metrics/ingest"


@pytest.fixture(autouse=True)
def place(own_tempdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a directory for temporary files of the test's own, and no shared memory."""
    monkeypatch.setattr(users_file, "_SHARED_MEMORY", str(own_tempdir / "missing"))
    return own_tempdir


def made_file(place: Path) -> Path:
    """Give the endpoint up; return the file that notes it."""
    GivenUp(ENDPOINT).note()
    [file] = place.iterdir()
    return file


def test_for_a_minute() -> None:
    """It is given up for a minute, and then one process tries again."""
    now = 1_000.0
    first, second = (GivenUp(ENDPOINT, lambda: now) for _ in range(2))
    assert first.may_wait()
    first.note()
    now += 59.9
    assert not second.may_wait()
    now += 0.1
    assert second.may_wait()
    assert not first.may_wait()


def test_forgotten() -> None:
    """An endpoint that answers again is waited for at once."""
    first, second = GivenUp(ENDPOINT), GivenUp(ENDPOINT)
    first.forget()
    first.note()
    second.forget()
    assert first.may_wait()
    assert second.may_wait()


def test_clock_set_back() -> None:
    """A moment in the future, of a clock that was set back, is not waited out."""
    GivenUp(ENDPOINT, lambda: 1_000.0).note()
    assert GivenUp(ENDPOINT, lambda: 900.0).may_wait()


def test_other_endpoint() -> None:
    """Another endpoint is waited for."""
    GivenUp(ENDPOINT).note()
    assert GivenUp("https://other.live.dynatrace.com").may_wait()


def test_file(place: Path) -> None:
    """The file is empty, closed to others, and does not name the endpoint."""
    file = made_file(place)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes() == b""
    assert "abc12345" not in file.name


def test_link(place: Path) -> None:
    """A link in its place is not followed."""
    file = made_file(place)
    target = place / "target"
    file.rename(target)
    os.utime(target, (5.0, 5.0))
    file.symlink_to(target)
    GivenUp(ENDPOINT).note()
    assert target.stat().st_mtime == 5.0
    assert GivenUp(ENDPOINT).may_wait()


def test_open_to_others(place: Path) -> None:
    """A file that others may write to is not used."""
    made_file(place).chmod(0o620)
    assert GivenUp(ENDPOINT).may_wait()


def test_other_owner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user is not used."""
    made_file(place)
    real = os.fstat

    def fstat(file: int) -> os.stat_result:
        values = list(real(file))
        values[stat.ST_UID] += 1
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", fstat)
    assert GivenUp(ENDPOINT).may_wait()


def test_pipe(place: Path) -> None:
    """A pipe in its place does not block."""
    file = made_file(place)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert GivenUp(ENDPOINT).may_wait()


def test_no_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a directory for it nothing is noted."""
    monkeypatch.setattr(tempfile, "tempdir", str(place / "missing"))
    given_up = GivenUp(ENDPOINT)
    given_up.note()
    assert given_up.may_wait()


def test_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that has become read-only nothing is noted."""

    def utime(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "utime", utime)
    GivenUp(ENDPOINT).forget()
    GivenUp(ENDPOINT).note()

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from dtmetrics._spool import root
from dtmetrics._spool.root import file_system
from dtmetrics._spool.spool import Spool
from dtmetrics.errors import ConfigError
from tests.support.script import expect
from tests.support.spool_directory import SpoolDirectory, kill, swapped, texts, troubles

if not hasattr(os, "fork"):
    pytest.skip("the spool needs flock()", allow_module_level=True)

import fcntl


def assert_invalid(root: Path | str, requirement: str) -> None:
    """Assert that a spool below *root* raises ConfigError with *requirement*.

    Nothing else is in the error, neither the endpoint nor the public part of a token.
    """
    message = f"spool must {requirement}, got {root}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        Spool(root, "https://x#dt0c01.PUBLIC", now_ms=lambda: 0, clock=lambda: 0.0)


def test_nothing_is_created_early(tmp_path: Path) -> None:
    """Until a batch is stored nothing is created on disk, whatever is called."""
    directory = SpoolDirectory(tmp_path / "a" / "b")
    spool = directory.spool()
    batch = directory.batch()
    spool.begin_attempt(batch)
    spool.undo_attempt(batch)
    spool.delete(batch)
    assert spool.recover() == []
    spool.close()
    assert [*tmp_path.iterdir()] == []
    spool.store(batch)
    assert directory.suffixes() == ["b"]
    assert troubles(spool) == {}


def test_private(tmp_path: Path) -> None:
    """Files are 0600 and directories 0700, whatever the umask."""
    before = os.umask(0)
    try:
        directory = SpoolDirectory(tmp_path / "a" / "b")
        directory.spool().store(directory.batch())
    finally:
        os.umask(before)
    created = [*tmp_path.rglob("*")]
    assert len(created) == 6
    for path in created:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_tenants_are_apart(tmp_path: Path) -> None:
    """Batches for one endpoint are not recovered for another."""
    directory = SpoolDirectory(tmp_path)
    directory.dead(directory.batch("a count,delta=1"), tenant="https://one")
    directory.dead(directory.batch("b count,delta=1"), tenant="https://two")
    assert directory.spool("https://three").recover() == []
    assert texts(directory.spool("https://two").recover()) == ["b count,delta=1"]
    assert texts(directory.spool("https://one").recover()) == ["a count,delta=1"]


def test_tenant_is_not_on_disk(tmp_path: Path) -> None:
    """The names and contents of files show neither the endpoint nor the token."""
    directory = SpoolDirectory(tmp_path)
    directory.dead(directory.batch(), tenant="https://tenant.example#dt0c01.PUBLIC")
    for path in tmp_path.rglob("*"):
        assert "tenant" not in str(path.relative_to(tmp_path))
        assert "PUBLIC" not in str(path.relative_to(tmp_path))
        assert path.is_dir() or b"tenant" not in path.read_bytes()


def test_symbolic_link(tmp_path: Path) -> None:
    """A root that is a symbolic link is invalid, wherever it leads."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    requirement = "be a directory and not a symbolic link"
    assert_invalid(tmp_path / "link", requirement)
    (tmp_path / "dangling").symlink_to("nowhere")
    assert_invalid(tmp_path / "dangling", requirement)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_writable_by_others(tmp_path: Path, mode: int) -> None:
    """A root that a group or other users may write to is invalid."""
    tmp_path.chmod(mode)
    assert_invalid(tmp_path, "be writable by its owner alone")


def test_below_tmp(tmp_path: Path) -> None:
    """A root may lie in a directory that other users may write to, as in /tmp."""
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o1777)
    directory = SpoolDirectory(tmp_path / "all" / "ours")
    directory.spool().store(directory.batch())
    assert directory.suffixes() == ["b"]


def test_file(tmp_path: Path) -> None:
    """A root that is a file, or lies below one, is invalid."""
    (tmp_path / "file").touch()
    assert_invalid(tmp_path / "file", "be a directory")
    assert_invalid(tmp_path / "file" / "a" / "b", "be below directories only")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert_invalid(tmp_path / "dangling" / "a", "be below directories only")


def test_removed_while_it_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new directory that is removed before it is locked is an error that is counted."""
    directory = SpoolDirectory(tmp_path)
    spool = directory.spool()
    flock = fcntl.flock

    def late(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        [created] = directory.directories()
        shutil.rmtree(created)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    spool.store(directory.batch())
    assert troubles(spool) == {"failed: removed by others": 1}
    directory.advance(60)
    spool.store(directory.batch())
    assert directory.suffixes() == ["b"]


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0,
    reason="only root can give a directory away",
)
def test_owned_by_another_user(tmp_path: Path) -> None:
    """A root of another user is invalid, even for the superuser."""
    os.chown(tmp_path, 65534, 65534)
    assert_invalid(tmp_path, "belong to the user of this process")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_not_writable() -> None:
    """A root that cannot be created is invalid: in /proc not even root can."""
    assert_invalid("/proc/self/spool", "be writable")


def test_swapped_for_a_link(tmp_path: Path) -> None:
    """A root replaced by a symbolic link is neither written nor read."""
    directory = SpoolDirectory(tmp_path / "root")
    other = SpoolDirectory(tmp_path / "other")
    other.dead(other.batch("a count,delta=1"))
    before = sorted(other.root.rglob("*"))
    directory.root.mkdir(0o700)
    spool = directory.spool()
    directory.root.rename(tmp_path / "moved")
    directory.root.symlink_to(other.root)
    spool.store(directory.batch())
    assert spool.recover() == []
    assert spool.account()["batches"] == 0
    assert troubles(spool)
    assert sorted(other.root.rglob("*")) == before


def test_opened_to_others(tmp_path: Path) -> None:
    """A root that has become writable by other users is not written."""
    directory = SpoolDirectory(tmp_path)
    spool = directory.spool()
    tmp_path.chmod(0o777)
    spool.store(directory.batch())
    assert [*tmp_path.iterdir()] == []
    assert troubles(spool) == {"failed: not allowed": 1}


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Links in a spool are not followed, be it a directory, a lock or a batch."""
    directory = SpoolDirectory(tmp_path / "root")
    outside = tmp_path / "outside"
    other = SpoolDirectory(tmp_path / "elsewhere")
    other.dead(other.batch("secret count,delta=1")).rename(outside)
    secret = next(outside.glob("*.b"))
    (before, saved) = (sorted(outside.iterdir()), secret.read_bytes())

    linked = directory.dead(directory.batch("a count,delta=1"))
    next(linked.glob("*.b")).unlink()
    (linked / "1.b").symlink_to(secret)
    (linked / "2.b").hardlink_to(secret)
    (linked / "1.tmp").symlink_to(secret)
    locked = directory.dead(directory.batch("b count,delta=1"))
    (locked / "lock").unlink()
    (locked / "lock").symlink_to(outside / "lock")
    (locked.parent / "p-1-link").symlink_to(outside)

    spool = directory.spool()
    assert spool.recover() == []
    assert troubles(spool) == {"corrupt": 2, "failed: other": 1}
    spool.close()
    assert sorted(outside.iterdir()) == before
    assert secret.read_bytes() == saved


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0,
    reason="only root can give a directory away",
)
def test_swapped_all_the_time(tmp_path: Path) -> None:
    """A root that is swapped for a link all the time writes nothing outside."""
    assert swapped(tmp_path, rounds=300) == (True, ["file"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_file_system() -> None:
    """The type of a file system is that of the device that a path lies on."""
    assert file_system(os.stat("/proc/self").st_dev) == "proc"
    assert file_system(os.stat("/sys").st_dev) == "sysfs"
    assert file_system(os.makedev(4095, 7)) == ""


def test_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root on a network file system is invalid: locks do not hold there."""
    device = tmp_path.stat().st_dev
    monkeypatch.setattr(root, "file_system", {device: "nfs4"}.__getitem__)
    requirement = "be on a local disk, because locks fail on nfs4"
    assert_invalid(tmp_path / "new", requirement)
    assert_invalid(tmp_path, requirement)


def test_root_removed(tmp_path: Path) -> None:
    """A root removed by others is created again, and its batches are stored again."""
    directory = SpoolDirectory(tmp_path / "root")
    spool = directory.spool()
    batches = [directory.batch(f"k{n} count,delta=1") for n in range(2)]
    spool.store(batches[0])
    shutil.rmtree(directory.root)
    spool.store(batches[1])
    assert troubles(spool) == {"failed: removed by others": 1}
    directory.advance(60)
    for batch in batches:
        spool.store(batch)
    kill(spool)
    found = sorted(texts(directory.spool().recover()))
    assert found == ["k0 count,delta=1", "k1 count,delta=1"]


WITHOUT_LOCKS = """
import sys
sys.modules["fcntl"] = None
from dtmetrics._spool.spool import Spool
from dtmetrics.errors import ConfigError
try:
    Spool(sys.argv[1], "here", now_ms=int, clock=float)
except ConfigError as error:
    print(error)
"""


def test_without_locks(tmp_path: Path) -> None:
    """Without flock(), as on Windows, the error names the reason."""
    message = "spool must be unset: this system has no flock()\n"
    assert expect(WITHOUT_LOCKS, tmp_path) == message


# The last line lets coverage write its data.
BEHIND_A_CLOSED_DIRECTORY = f"""\
{WITHOUT_LOCKS}os.seteuid(os.getuid())
""".replace(
    'sys.modules["fcntl"] = None',
    """
import os
os.chmod(sys.argv[1], 0o755)
os.makedirs(sys.argv[1] + "/closed/inside")
os.symlink("closed/inside", sys.argv[1] + "/link")
os.chmod(sys.argv[1] + "/closed", 0)
sys.argv[1] += "/link/spool"
if os.geteuid() == 0:
    import dtmetrics._spool.spool  # while this process may read it
    os.seteuid(65534)
""",
)


def test_behind_a_closed_directory() -> None:
    """A root below a link into a directory that the user cannot enter is invalid."""
    # Below /tmp, which every user can reach.
    with tempfile.TemporaryDirectory() as directory:
        message = f"spool must be below directories only, got {directory}/link/spool\n"
        assert expect(BEHIND_A_CLOSED_DIRECTORY, directory) == message
        os.chmod(f"{directory}/closed", 0o700)

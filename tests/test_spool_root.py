from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from dtmetrics._spool.root import file_system
from dtmetrics._spool.spool import Spool
from dtmetrics.errors import ConfigError
from tests.support.script import expect
from tests.support.spool_directory import Place, killed, swapped, texts

if not hasattr(os, "fork"):
    pytest.skip("no spool here", allow_module_level=True)


def refused(root: Path | str, said: str) -> None:
    """Assert that no spool is made below *root*, and what is said."""
    with pytest.raises(ConfigError, match=f"^spool {re.escape(str(root))} .*{said}"):
        Spool(root, "here", now_ms=lambda: 0, clock=lambda: 0.0)


def test_nothing_is_made_early(tmp_path: Path) -> None:
    """Until a body has to be kept nothing is on disk, whatever is asked."""
    place = Place(tmp_path / "a" / "b")
    spool = place.spool()
    body = place.body()
    spool.trying(body)
    spool.back(body)
    spool.forget(body)
    assert spool.adopt() == []
    spool.close()
    assert [*tmp_path.iterdir()] == []
    spool.keep(body)
    assert place.files() == ["b"]
    assert spool.account().failures == {}


def test_private(tmp_path: Path) -> None:
    """All that is made can be read and written by its owner alone, whatever the umask."""
    before = os.umask(0)
    try:
        place = Place(tmp_path / "a" / "b")
        place.spool().keep(place.body())
    finally:
        os.umask(before)
    made = [*tmp_path.rglob("*")]
    assert len(made) == 6
    for path in made:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_tenants_are_apart(tmp_path: Path) -> None:
    """What was meant for one endpoint is not adopted for another."""
    place = Place(tmp_path)
    place.dead(place.body("a count,delta=1"), tenant="https://one")
    place.dead(place.body("b count,delta=1"), tenant="https://two")
    assert place.spool("https://three").adopt() == []
    assert texts(place.spool("https://two").adopt()) == ["b count,delta=1"]
    assert texts(place.spool("https://one").adopt()) == ["a count,delta=1"]


def test_tenant_is_not_on_disk(tmp_path: Path) -> None:
    """No file and no name tells where the bodies were to go."""
    place = Place(tmp_path)
    place.dead(place.body(), tenant="https://tenant.example#dt0c01.PUBLIC")
    for path in tmp_path.rglob("*"):
        assert "tenant" not in str(path.relative_to(tmp_path))
        assert "PUBLIC" not in str(path.relative_to(tmp_path))
        assert path.is_dir() or b"tenant" not in path.read_bytes()


def test_link_refused(tmp_path: Path) -> None:
    """A root that is a symbolic link is refused, even to a directory that is not."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    refused(tmp_path / "link", "is a symbolic link")
    (tmp_path / "dangling").symlink_to("nowhere")
    refused(tmp_path / "dangling", "is a symbolic link")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_writable_by_others_refused(tmp_path: Path, mode: int) -> None:
    """A root that others may write to is refused."""
    tmp_path.chmod(mode)
    refused(tmp_path, "can be written by others")


def test_below_tmp(tmp_path: Path) -> None:
    """A root of ours in a directory that all may write to is as good as any."""
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o1777)
    place = Place(tmp_path / "all" / "ours")
    place.spool().keep(place.body())
    assert place.files() == ["b"]


def test_file_refused(tmp_path: Path) -> None:
    """A root that is a file, or would be in one, is refused."""
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "is not a directory")
    refused(tmp_path / "file" / "a" / "b", "is not a directory")
    (tmp_path / "dangling").symlink_to("nowhere")
    refused(tmp_path / "dangling" / "a", "is not a directory")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0,
    reason="only root can give a directory away",
)
def test_of_another_user_refused(tmp_path: Path) -> None:
    """A root of another user is refused, even by root."""
    os.chown(tmp_path, 65534, 65534)
    refused(tmp_path, "belongs to another user")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux's /proc")
def test_not_writable_refused() -> None:
    """A root that cannot be made is refused: here where even root can make nothing."""
    refused("/proc/self/spool", "is not writable")


def test_secrets_are_not_said(tmp_path: Path) -> None:
    """What is said of a root that is refused does not tell where bodies were to go."""
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError) as caught:
        Spool(tmp_path, "https://x#dt0c01.PUBLIC", now_ms=lambda: 0, clock=lambda: 0.0)
    assert "PUBLIC" not in str(caught.value)
    assert "x#" not in str(caught.value)


def swap_root(place: Place, other: Path) -> None:
    """Put a link to *other* where the root was."""
    place.root.rename(place.root.with_name("moved"))
    place.root.symlink_to(other)


def test_swapped_for_a_link(tmp_path: Path) -> None:
    """A root that is swapped for a link later on gets nothing, and gives nothing."""
    place, other = Place(tmp_path / "root"), Place(tmp_path / "other")
    other.dead(other.body("a count,delta=1"))
    before = sorted(other.root.rglob("*"))
    place.root.mkdir(0o700)
    spool = place.spool()
    swap_root(place, other.root)
    spool.keep(place.body())
    assert spool.adopt() == []
    assert spool.account().stored == 0
    assert spool.account().failures
    assert sorted(other.root.rglob("*")) == before


def test_opened_to_others(tmp_path: Path) -> None:
    """A root that others may write to since then gets nothing either."""
    place = Place(tmp_path)
    spool = place.spool()
    tmp_path.chmod(0o777)
    spool.keep(place.body())
    assert [*tmp_path.iterdir()] == []
    assert spool.account().failures == {"not allowed": 1}


def test_links_are_not_followed(tmp_path: Path) -> None:
    """What is linked to in a spool is neither read nor changed: folder, lock or file."""
    place = Place(tmp_path / "root")
    outside = tmp_path / "outside"
    other = Place(tmp_path / "elsewhere")
    other.dead(other.body("secret count,delta=1")).rename(outside)
    secret = next(outside.glob("*.b"))
    (before, saved) = (sorted(outside.iterdir()), secret.read_bytes())

    linked = place.dead(place.body("a count,delta=1"))
    next(linked.glob("*.b")).unlink()
    (linked / "1.b").symlink_to(secret)
    (linked / "2.b").hardlink_to(secret)
    (linked / "1.tmp").symlink_to(secret)
    locked = place.dead(place.body("b count,delta=1"))
    (locked / "lock").unlink()
    (locked / "lock").symlink_to(outside / "lock")
    (locked.parent / "p-1-link").symlink_to(outside)

    spool = place.spool()
    assert spool.adopt() == []
    assert spool.account().corrupt == 2
    spool.close()
    assert sorted(outside.iterdir()) == before
    assert secret.read_bytes() == saved


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0,
    reason="only root can give a directory away",
)
def test_swapped_all_the_time(tmp_path: Path) -> None:
    """While the root is swapped for a link, and for another's, nothing gets outside."""
    assert swapped(tmp_path, rounds=300) == (True, ["file"])


MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:40 / /mnt/home rw - nfs4 server:/home rw
31 30 0:41 / /mnt/home/me/disk rw - xfs /dev/vdb rw
32 27 0:42 / /mnt/two\\040words rw - fuse.sshfs me@host: rw
33 27 0:43 / /over rw - nfs a:/ rw
34 33 0:44 / /over rw - tmpfs none rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib", "ext4"),
        ("/mnt/home", "nfs4"),
        ("/mnt/home/me", "nfs4"),
        ("/mnt/homes", "ext4"),
        ("/mnt/home/me/disk/x", "xfs"),
        ("/mnt/two words/x", "fuse.sshfs"),
        ("/over/x", "tmpfs"),
    ],
)
def test_file_system(path: str, kind: str) -> None:
    """What a directory lies on is what is mounted nearest above it, and last."""
    assert file_system(path, MOUNTS) == kind
    assert file_system(path, "") == ""


def test_network_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root on a network file system is refused, unless one insists."""
    line = f"1 1 0:1 / {tmp_path.resolve()} rw - nfs4 server:/ rw\n"
    monkeypatch.setattr("dtmetrics._spool.root._mounts", lambda: line)
    refused(tmp_path / "new", r"network file system \(nfs4\)")
    place = Place(tmp_path / "new")
    place.spool(force=True).keep(place.body())
    assert place.files() == ["b"]


def test_root_removed(tmp_path: Path) -> None:
    """Removed by somebody, the spool is made anew, and what it held is kept again."""
    place = Place(tmp_path / "root")
    spool = place.spool()
    bodies = [place.body(f"k{n} count,delta=1") for n in range(2)]
    spool.keep(bodies[0])
    shutil.rmtree(place.root)
    spool.keep(bodies[1])
    assert spool.account().failures == {"removed by others": 1}
    place.wait(60)
    for body in bodies:
        spool.keep(body)
    killed(spool)
    assert sorted(texts(place.spool().adopt())) == [
        "k0 count,delta=1",
        "k1 count,delta=1",
    ]


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
    """Where the system has no such locks (Windows), a spool says so."""
    said = "spool needs file locks that this system has not got\n"
    assert expect(WITHOUT_LOCKS, tmp_path) == said

"""Disks that are full, read-only, forbidden or broken, real ones where possible."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.script import expect, run
from tests.support.spool_directory import SpoolDirectory, disk_call, texts, troubles

if not hasattr(os, "fork"):
    pytest.skip("the spool needs flock()", allow_module_level=True)

#: A command that runs another in a mount namespace of its own.
APART = ("unshare", "--mount", "--map-root-user")


@pytest.fixture(scope="module")
def _mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    mount = ["mount", "-t", "tmpfs", "none", str(tmp_path_factory.mktemp("mount"))]
    if (
        not shutil.which("unshare")
        or subprocess.run([*APART, *mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs mount and unshare")


mounting = pytest.mark.usefixtures("_mounting")

BEGIN = """
import os, resource, subprocess, sys
from dtmetrics.exporters import Batch
from dtmetrics._spool.spool import Spool
from dtmetrics._protocol.point import Identity

root, now = sys.argv[1], [0.0]

def mount(options):
    command = ["mount", "-t", "tmpfs", "-o", options + ",mode=700", "none", root]
    subprocess.run(command, check=True)

def new_spool():
    return Spool(root, "here", now_ms=lambda: 0, clock=lambda: now[0])

def new_batch(size):
    text = os.urandom(size).replace(b"\\n", b"")
    return Batch(text, (Identity("noise", "noise"),), 0)

def suffixes():
    return sorted(name.partition(".")[2] for *_, names in os.walk(root) for name in names if name != "lock")

def troubles(spool):
    healthy = ("batches", "bytes", "recovered")
    return {key: n for key, n in spool.account().items() if key not in healthy}

spool = new_spool()
"""

FULL = """
mount(sys.argv[2])
batches = [new_batch(10_000) for _ in range(30)]
for batch in batches:
    spool.store(batch)
stored = spool.account()["batches"]
print(0 < stored < 30, troubles(spool))
disk = os.statvfs(root)
assert disk.f_bavail >= 0.05 * disk.f_blocks  # are left to others
assert suffixes() == ["b"] * stored
spool.delete(batches[0])
spool.store(batches[-1])
assert spool.account()["batches"] == stored - 1
now[0] += 60
spool.store(batches[-1])
print(spool.account()["batches"] == stored, troubles(spool))
expected = [batch.text for batch in batches[1:stored] + batches[-1:]]
spool.close()
recovered = [batch.text for batch, _ in new_spool().recover()]
print(sorted(recovered) == sorted(expected))
"""


@mounting
@pytest.mark.parametrize("options", ["size=256k", "size=1g,nr_inodes=12"])
def test_full(tmp_path: Path, options: str) -> None:
    """On a full disk stored batches stay whole, and storing is retried in a minute.

    The disk is full when 5 % are left, or no inode.
    """
    failures = "{'failed: disk full': 1}"
    assert (
        expect(BEGIN + FULL, tmp_path, options, under=APART)
        == f"True {failures}\nTrue {failures}\nTrue\n"
    )


READ_ONLY = """
mount("size=1m")
batches = [new_batch(100) for _ in range(3)]
spool.store(batches[0])
spool.close()  # a disk with an open lock file cannot be remounted as read-only
subprocess.run(["mount", "-o", "remount,ro", root], check=True)
for batch in batches:
    spool.store(batch)
print(spool.recover(), troubles(spool))
subprocess.run(["mount", "-o", "remount,rw", root], check=True)
spool.store(batches[1])
now[0] += 300
spool.store(batches[1])
print(len(spool.recover()), spool.account()["batches"])
"""


@mounting
def test_read_only(tmp_path: Path) -> None:
    """A disk that turns read-only counts failures, and is used again when it can be."""
    printed = expect(BEGIN + READ_ONLY, tmp_path, under=APART)
    assert printed == "[] {'failed: read-only': 2}\n1 2\n"


READ_ONLY_FROM_THE_START = """
from dtmetrics.errors import ConfigError
mount("size=1m,ro")
try:
    new_spool()
except ConfigError as error:
    print(error)
"""


@mounting
def test_read_only_from_the_start(tmp_path: Path) -> None:
    """A root on a read-only disk is invalid."""
    printed = expect(BEGIN + READ_ONLY_FROM_THE_START, tmp_path, under=APART)
    assert printed == f"spool must be writable, got {tmp_path}\n"


NOT_ALLOWED = """
if os.geteuid() == 0:
    # Permissions do not bind root: continue as another user, after all imports.
    os.chown(root, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
spool = new_spool()
batches = [new_batch(100) for _ in range(3)]
spool.store(batches[0])
(tenant,) = os.scandir(root)
(directory,) = os.scandir(tenant.path)
for path in (directory.path, tenant.path, root):
    os.chmod(path, 0o500)
    now[0] += 60
    spool.begin_attempt(batches[0])
    spool.store(batches[1])
    if path == directory.path:
        spool.close()
        spool.store(batches[2])
    print(spool.account()["batches"], troubles(spool))
    spool.recover()
    os.chmod(path, 0o700)
now[0] += 60
spool.store(batches[1])
spool.close()
print(len(new_spool().recover()))
os.seteuid(os.getuid())
"""


def test_not_allowed() -> None:
    """Directories that have become unwritable count failures, and raise nothing."""
    # Below /tmp, which every user can reach.
    with tempfile.TemporaryDirectory() as root:
        *lines, last = expect(BEGIN + NOT_ALLOWED, root).splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"\d {'failed: not allowed': \d}", line) for line in lines)
    assert last == "2"


TOO_MANY_FILES = """
batches = [new_batch(100) for _ in range(2)]
spool.store(batches[0])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
files = []
try:
    while True:
        files.append(open(os.devnull))
except OSError:
    pass
spool.store(batches[1])
other = new_spool()
print(other.recover(), troubles(spool), troubles(other))
for file in files:
    file.close()
now[0] += 60
spool.store(batches[1])
spool.close()
other.close()
print(len(new_spool().recover()), len(os.listdir("/dev/fd")) < 12)
"""


def test_too_many_open_files(tmp_path: Path) -> None:
    """Without free descriptors the spool counts a failure, and leaks none."""
    failures = "{'failed: too many open files': 1}"
    assert (
        expect(BEGIN + TOO_MANY_FILES, tmp_path)
        == f"[] {failures} {failures}\n2 True\n"
    )


STEPS = "open mkdir write fsync rename fstat fstatvfs unlink rmdir listdir stat close"


@pytest.mark.parametrize("step", STEPS.split())
@pytest.mark.parametrize("healthy", range(8))
def test_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, healthy: int) -> None:  # fmt: skip
    """A system call that fails from any point on raises nothing and loses no batch.

    Simulated, because a real disk cannot be made to break at a given call.
    """
    directory = SpoolDirectory(tmp_path)
    directory.dead(directory.batch("left 1"), directory.batch("left 2"))
    batches = [directory.batch(f"k{n} 1") for n in range(2)]
    spool = directory.spool()
    descriptors = len(os.listdir("/dev/fd"))
    real: Callable[..., Any] = getattr(os, step)
    left = iter(range(healthy))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is not None:
            return real(*args, **kwargs)
        if step == "close":
            real(*args)  # Linux closes even if it fails
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, call)
        for batch in batches:
            spool.store(batch)
            directory.advance(60)
        spool.recover()
        spool.begin_attempt(batches[0])
        spool.undo_attempt(batches[0])
        spool.delete(batches[1])
        spool.close()
    assert troubles(spool).keys() <= {"failed: disk error"}
    assert len(os.listdir("/dev/fd")) == descriptors
    directory.advance(300)
    spool = directory.spool()
    found = [text.rstrip("?") for text in texts(spool.recover())]
    assert len(found) == len(set(found))
    assert {"left 1", "left 2"} <= set(found)
    assert troubles(spool) == {}
    assert step == "unlink" or not [*directory.root.glob("*/*/*.tmp")]
    spool.close()


TRACED = """
batch = new_batch(100_000)
os.write(2, b"store begins")
spool.store(batch)
os.write(2, b"store ends")
spool.begin_attempt(batch)
spool.delete(batch)
spool.close()
"""


def test_order(tmp_path: Path) -> None:
    """store() returns after the file is on disk, and after it its name."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    trace = tmp_path / "trace"
    root = tmp_path / "root"
    traced = "trace=write,fsync,rename,renameat,renameat2,mkdir,mkdirat,openat"
    strace = ("strace", "-f", "-y", "-e", traced, "-o", str(trace))
    if subprocess.run([*strace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs ptrace")
    run_traced(strace, root)
    lines = trace.read_text().split("store begins")[1].split("store ends")[0]
    calls = [disk_call(line, root) for line in lines.splitlines()]
    steps = [*filter(None, calls)]
    # The directories are created, each in the one above it, and then the file.
    created = steps[: steps.index("write .tmp")]
    assert created == ["fsync directory"] * 2
    assert steps[len(created) :] == ["write .tmp", "fsync .tmp", "rename .b", "fsync directory"]  # fmt: skip
    assert lines.index("O_EXCL") < lines.index("write(")
    assert "O_NOFOLLOW" in lines


def run_traced(strace: tuple[str, ...], root: Path) -> None:
    """Run the traced program, which marks the begin and end of storing on stderr."""
    ended = run(BEGIN + TRACED, root, under=strace)
    assert (ended.status, ended.err) == (0, "store beginsstore ends")

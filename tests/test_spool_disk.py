"""Disks that are full, read-only, forbidden or broken: real ones, where there are any."""

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

from dtmetrics._spool.spool import SpoolAccount
from tests.support.script import expect, run
from tests.support.spool_directory import Place, disk_call, texts

if not hasattr(os, "fork"):
    pytest.skip("no spool here", allow_module_level=True)

#: A command that runs another where it may mount.
APART = ("unshare", "--mount", "--map-root-user")


@pytest.fixture(scope="module")
def _mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    mount = ["mount", "-t", "tmpfs", "none", str(tmp_path_factory.mktemp("mount"))]
    if (
        not shutil.which("unshare")
        or subprocess.run([*APART, *mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("no mounting here")


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

def a_spool():
    return Spool(root, "here", now_ms=lambda: 0, clock=lambda: now[0])

def a_body(size):
    text = os.urandom(size).replace(b"\\n", b"")
    return Batch(text, (Identity("noise", "noise"),), 0)

def files():
    return sorted(name.partition(".")[2] for *_, names in os.walk(root) for name in names if name != "lock")

spool = a_spool()
"""

FULL = """
mount(sys.argv[2])
bodies = [a_body(10_000) for _ in range(30)]
for body in bodies:
    spool.keep(body)
stored = spool.account().stored
print(0 < stored < 30, spool.account().failures)
disk = os.statvfs(root)
assert disk.f_bavail >= 0.05 * disk.f_blocks  # are left to others
assert files() == ["b"] * stored
spool.forget(bodies[0])
spool.keep(bodies[-1])
assert spool.account().stored == stored - 1
now[0] += 60
spool.keep(bodies[-1])
print(spool.account().stored == stored, spool.account().failures)
kept = [body.text for body in bodies[1:stored] + bodies[-1:]]
spool.close()
adopted = [body.text for body, _ in a_spool().adopt()]
print(sorted(adopted) == sorted(kept))
"""


@mounting
@pytest.mark.parametrize("options", ["size=256k", "size=1g,nr_inodes=12"])
def test_full(tmp_path: Path, options: str) -> None:
    """On a full disk what is stored stays whole, and after a minute it is tried again.

    Be it full but for what is left to others, or truly so.
    """
    failures = "{'disk full': 1}"
    assert (
        expect(BEGIN + FULL, tmp_path, options, under=APART)
        == f"True {failures}\nTrue {failures}\nTrue\n"
    )


READ_ONLY = """
mount("size=1m")
bodies = [a_body(100) for _ in range(3)]
spool.keep(bodies[0])
spool.close()  # a disk on which a lock is open can only turn read-only by breaking
subprocess.run(["mount", "-o", "remount,ro", root], check=True)
for body in bodies:
    spool.keep(body)
print(spool.adopt(), spool.account())
subprocess.run(["mount", "-o", "remount,rw", root], check=True)
spool.keep(bodies[1])
now[0] += 300
spool.keep(bodies[1])
print(len(spool.adopt()), spool.account().stored)
"""


@mounting
def test_read_only(tmp_path: Path) -> None:
    """A disk that turns read-only is survived, and used again once it is not."""
    said = expect(BEGIN + READ_ONLY, tmp_path, under=APART)
    told = SpoolAccount(0, 0, 0, 0, {}, {"read-only": 2})
    assert said == f"[] {told}\n1 2\n"


READ_ONLY_FROM_THE_START = """
from dtmetrics.errors import ConfigError
mount("size=1m,ro")
try:
    a_spool()
except ConfigError as error:
    print(error)
"""


@mounting
def test_read_only_from_the_start(tmp_path: Path) -> None:
    """A root that is on a read-only disk is refused."""
    said = expect(BEGIN + READ_ONLY_FROM_THE_START, tmp_path, under=APART)
    assert said == f"spool {tmp_path} cannot be used: {tmp_path} is not writable\n"


NOT_ALLOWED = """
if os.geteuid() == 0:
    # Nothing is forbidden to root: on as nobody, with all that is needed imported.
    os.chown(root, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
spool = a_spool()
bodies = [a_body(100) for _ in range(3)]
spool.keep(bodies[0])
(tenant,) = os.scandir(root)
(folder,) = os.scandir(tenant.path)
for path in (folder.path, tenant.path, root):
    os.chmod(path, 0o500)
    now[0] += 60
    spool.trying(bodies[0])
    spool.keep(bodies[1])
    if path == folder.path:
        spool.close()
        spool.keep(bodies[2])
    print(spool.account().stored, spool.account().failures)
    spool.adopt()
    os.chmod(path, 0o700)
now[0] += 60
spool.keep(bodies[1])
spool.close()
print(len(a_spool().adopt()))
os.seteuid(os.getuid())
"""


def test_not_allowed() -> None:
    """Directories in which nothing may be made any more are survived."""
    with tempfile.TemporaryDirectory() as root:  # one that nobody can get at
        *told, last = expect(BEGIN + NOT_ALLOWED, root).splitlines()
    assert len(told) == 3
    assert all(re.fullmatch(r"\d {'not allowed': \d}", line) for line in told)
    assert last == "2"


TOO_MANY_FILES = """
bodies = [a_body(100) for _ in range(2)]
spool.keep(bodies[0])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
files_ = []
try:
    while True:
        files_.append(open(os.devnull))
except OSError:
    pass
spool.keep(bodies[1])
other = a_spool()
print(other.adopt(), spool.account().failures, other.account().failures)
for file in files_:
    file.close()
now[0] += 60
spool.keep(bodies[1])
spool.close()
other.close()
print(len(a_spool().adopt()), len(os.listdir("/dev/fd")) < 12)
"""


def test_too_many_open_files(tmp_path: Path) -> None:
    """Where no file can be opened any more, nothing breaks and no descriptor is lost."""
    failures = "{'too many open files': 1}"
    assert (
        expect(BEGIN + TOO_MANY_FILES, tmp_path)
        == f"[] {failures} {failures}\n2 True\n"
    )


STEPS = [
    "open",
    "mkdir",
    "write",
    "fsync",
    "rename",
    "fstat",
    "fstatvfs",
    "unlink",
    "rmdir",
    "listdir",
    "stat",
    "close",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("healthy", range(8))
def test_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, healthy: int) -> None:  # fmt: skip
    """Whichever call fails from some time on, nothing is raised, lost or half stored.

    Not real ones: no disk here breaks when it should.
    """
    place = Place(tmp_path)
    place.dead(place.body("left 1"), place.body("left 2"))
    bodies = [place.body(f"k{n} 1") for n in range(2)]
    spool = place.spool()
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
        for body in bodies:
            spool.keep(body)
            place.wait(60)
        spool.adopt()
        spool.trying(bodies[0])
        spool.back(bodies[0])
        spool.forget(bodies[1])
        spool.close()
    assert spool.account().failures.keys() <= {"disk error"}
    assert len(os.listdir("/dev/fd")) == descriptors
    place.wait(300)
    spool = place.spool()
    found = [text.rstrip("?") for text in texts(spool.adopt())]
    assert len(found) == len(set(found))
    assert {"left 1", "left 2"} <= set(found)
    assert spool.account().corrupt == 0
    assert step == "unlink" or not [*place.root.glob("*/*/*.tmp")]
    spool.close()


TRACED = """
body = a_body(100_000)
os.write(2, b"keep begins")
spool.keep(body)
os.write(2, b"keep ends")
spool.trying(body)
spool.forget(body)
spool.close()
"""


def test_order(tmp_path: Path) -> None:
    """A body is told to be kept when its file is on disk, and its name after it."""
    if not shutil.which("strace"):
        pytest.skip("no strace here")
    trace = tmp_path / "trace"
    root = tmp_path / "root"
    traced = "trace=write,fsync,rename,renameat,renameat2,mkdir,mkdirat,openat"
    strace = ("strace", "-f", "-y", "-e", traced, "-o", str(trace))
    if subprocess.run([*strace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no tracing here")
    expect_noise(strace, root)
    lines = trace.read_text().split("keep begins")[1].split("keep ends")[0]
    calls = [disk_call(line, root) for line in lines.splitlines()]
    steps = [*filter(None, calls)]
    # The directories that are made, each into the one above it; then the file.
    made = steps[: steps.index("write .tmp")]
    assert made == ["fsync directory"] * 2
    assert steps[len(made) :] == ["write .tmp", "fsync .tmp", "rename .b", "fsync directory"]  # fmt: skip
    assert lines.index("O_EXCL") < lines.index("write(")
    assert "O_NOFOLLOW" in lines


def expect_noise(strace: tuple[str, ...], root: Path) -> None:
    """Run the traced program, which says on standard error where it is."""
    ended = run(BEGIN + TRACED, root, under=strace)
    assert (ended.status, ended.err) == (0, "keep beginskeep ends")

"""The file of the running configuration is followed: by time, by SIGHUP, after forks."""

from __future__ import annotations

import errno
import logging
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dtmetrics._config.document import Document
from dtmetrics._config.document_file import DocumentFile
from dtmetrics._runtime import config_file
from dtmetrics._runtime.config_file import ConfigFile, Follower
from dtmetrics._runtime.given import Given
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConfigError
from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.script import NO_COLLECTION, expect

HOUR = 3_600.0


class Versions:
    """A file, and the versions of it that were applied."""

    def __init__(self, path: Path, **seconds: float) -> None:
        self.path = path
        self.applied: queue.Queue[object] = queue.Queue()
        self.error: Exception | None = None
        path.write_text("prefix = 'first'")
        file = DocumentFile(path, "path", wins=True)
        self.follower = Follower(file, file.read(), self.apply, **seconds)

    def apply(self, follower: Follower, document: Document) -> bool:
        """Note the version, or raise the error."""
        assert follower is self.follower
        if document.problems or self.error:
            raise self.error or ConfigError(document.problems)
        self.applied.put(document.settings.get("prefix", ("", None))[1])
        return True

    def wait(self) -> object:
        """Wait for the next version that is applied."""
        return self.applied.get(timeout=PATIENCE)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """Return a file that is looked at only by the test."""
    return Versions(tmp_path / "shop.toml", check_seconds=60.0, settle_seconds=1.0)


def written(path: Path, text: str) -> None:
    """Replace the file at *path* in one step."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


# -- one look --------------------------------------------------------------------------


def test_unchanged(versions: Versions) -> None:
    """A file whose content is the same is not applied, also if it was written again."""
    assert versions.follower.look() == 60.0
    written(versions.path, "prefix = 'first'")
    assert versions.follower.look() == 60.0
    assert versions.follower.look(settled=True) == 60.0
    assert versions.applied.empty()


def test_two_looks(versions: Versions) -> None:
    """A version is applied once two looks in a row, a second apart, have read it."""
    versions.path.write_text("prefix = 'sec")
    assert versions.follower.look() == 1.0
    versions.path.write_text("prefix = 'second'")
    assert versions.follower.look() == 1.0
    assert versions.applied.empty()
    assert versions.follower.look() == 60.0
    assert versions.wait() == "second"
    assert versions.follower.look() == 60.0
    assert versions.applied.empty()


def test_settled(versions: Versions) -> None:
    """A version that is known to be whole is applied at the first look."""
    versions.path.write_text("prefix = 'second'")
    assert versions.follower.look(settled=True) == 60.0
    assert versions.wait() == "second"


def test_back_to_the_version_in_use(versions: Versions) -> None:
    """A version that is gone at the second look is not applied."""
    versions.path.write_text("prefix = 'second'")
    assert versions.follower.look() == 1.0
    versions.path.write_text("prefix = 'first'")
    assert versions.follower.look() == 60.0
    assert versions.applied.empty()


def test_unusable_versions(
    versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    """An unusable version, or a missing file, is logged once with every problem."""
    path = versions.path
    for text in "levles = 1\nintervall = 1", "prefix = ", None, "levles = 1":
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        for _ in range(4):
            versions.follower.look(settled=True)
    first = (
        f"dtmetrics: a new version of {path} is not used: "
        f"{path}: levles is not a setting (did you mean levels?); "
        f"{path}: intervall is not a setting (did you mean interval?)"
    )
    found = [record.getMessage() for record in caplog.records]
    assert found[0] == first
    assert "must be valid TOML, got an error at" in found[1]
    assert "path must name a readable file, got" in found[2]
    assert "levles" in found[3]
    assert len(found) == 4
    path.write_text("prefix = 'second'")
    versions.follower.look(settled=True)
    assert versions.wait() == "second"


def test_unexpected_error(versions: Versions, caplog: pytest.LogCaptureFixture) -> None:
    """Any other error is logged by its class, without a text that may hold a secret."""
    versions.error = RuntimeError("CANARY")
    versions.path.write_text("prefix = 'second'")
    versions.follower.look(settled=True)
    [record] = caplog.records
    assert record.getMessage().endswith(" is not used: RuntimeError")


# -- the thread ------------------------------------------------------------------------


@contextmanager
def running(versions: Versions) -> Iterator[Follower]:
    """Run the thread in a block."""
    versions.follower.start()
    versions.follower.start()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("dtmetrics-config") == 1
    try:
        yield versions.follower
    finally:
        versions.follower.end()


def test_thread(tmp_path: Path) -> None:
    """The thread applies each new version, whichever way the file is written."""
    versions = Versions(
        tmp_path / "shop.toml", check_seconds=0.01, settle_seconds=0.001
    )
    with running(versions):
        for number in range(5):
            written(versions.path, f"prefix = 'replaced{number}'")
            assert versions.wait() == f"replaced{number}"
            versions.path.write_text(f"prefix = 'rewritten{number}'")
            while (prefix := versions.wait()) != f"rewritten{number}":
                assert prefix is None  # two looks met the empty file


def test_request(tmp_path: Path) -> None:
    """A request has the thread look at once."""
    versions = Versions(tmp_path / "shop.toml", check_seconds=HOUR, settle_seconds=HOUR)
    with running(versions) as follower:
        for number in range(3):
            versions.path.write_text(f"prefix = 'p{number}'")
            follower.look_soon()
            assert versions.wait() == f"p{number}"


def test_changed_before_the_start(tmp_path: Path) -> None:
    """The first look comes at the start of the thread, which may be late."""
    versions = Versions(
        tmp_path / "shop.toml", check_seconds=HOUR, settle_seconds=0.001
    )
    versions.path.write_text("prefix = 'second'")
    with running(versions):
        assert versions.wait() == "second"


# -- the signal ------------------------------------------------------------------------

needs_signals = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="no signals between processes"
)


@pytest.fixture
def default_signal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give SIGHUP its default action, and the process no terminal."""
    monkeypatch.setattr(config_file, "_has_terminal", lambda: False)
    earlier = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, earlier)


def handler() -> Any:
    """Return the handler of SIGHUP."""
    return signal.getsignal(signal.SIGHUP)


@needs_signals
@pytest.mark.usefixtures("default_signal")
def test_handler(tmp_path: Path) -> None:
    """The handler requests a look, and is removed when the file is not followed."""
    versions = Versions(tmp_path / "shop.toml", check_seconds=HOUR, settle_seconds=HOUR)
    file = ConfigFile()
    file.follow(versions.follower)
    assert handler() is file._handler
    file.reset_after_fork()
    assert config_threads() == []
    file.start()
    versions.path.write_text("prefix = 'second'")
    signal.raise_signal(signal.SIGHUP)
    assert versions.wait() == "second"
    file.follow(None)
    assert handler() is signal.SIG_DFL
    file.follow(None)
    file.start()
    file.reset_after_fork()


@needs_signals
@pytest.mark.usefixtures("default_signal")
def test_next_follower(tmp_path: Path) -> None:
    """A second file takes over the signal of the first."""
    files = ConfigFile()
    both = [Versions(tmp_path / name, check_seconds=HOUR) for name in ("a", "b")]
    for versions in both:
        files.follow(versions.follower)
        files.start()
        files.start()
    both[1].path.write_text("prefix = 'second'")
    signal.raise_signal(signal.SIGHUP)
    assert both[1].wait() == "second"
    files.follow(None)


@needs_signals
@pytest.mark.usefixtures("default_signal")
@pytest.mark.parametrize("earlier", [signal.SIG_IGN, lambda *_: None])
def test_handler_of_the_program(versions: Versions, earlier: Any) -> None:
    """A SIGHUP that the program handles or ignores is left alone."""
    signal.signal(signal.SIGHUP, earlier)
    file = ConfigFile()
    file.follow(versions.follower)
    assert handler() is earlier
    file.follow(None)
    assert handler() is earlier


@needs_signals
@pytest.mark.usefixtures("default_signal")
def test_later_handler_of_the_program(versions: Versions) -> None:
    """A handler that the program installs later is not removed."""
    file = ConfigFile()
    file.follow(versions.follower)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    file.follow(None)
    assert handler() is signal.SIG_IGN


@needs_signals
@pytest.mark.usefixtures("default_signal")
def test_under_uwsgi(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under uWSGI, whose handlers Python does not know, none is installed."""
    uwsgi = ModuleType("uwsgi")
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    file = ConfigFile()
    file.follow(versions.follower)
    assert handler() is signal.SIG_DFL
    monkeypatch.setattr(uwsgi, "worker_id", lambda: 0, raising=False)
    monkeypatch.setattr(uwsgi, "masterpid", os.getpid, raising=False)
    file.start()
    assert config_threads() == []  # in the master
    monkeypatch.setattr(uwsgi, "worker_id", lambda: 1)
    file.start()
    assert len(config_threads()) == 1
    file.follow(None)


@needs_signals
@pytest.mark.usefixtures("default_signal")
def test_another_thread(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread neither installs nor removes a handler; an orphan ends the process."""
    file = ConfigFile()
    in_thread(partial(file.follow, versions.follower))
    assert handler() is signal.SIG_DFL
    file.follow(versions.follower)
    in_thread(partial(file.follow, None))
    assert handler() is file._handler
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    signal.raise_signal(signal.SIGHUP)
    assert killed == [(os.getpid(), signal.SIGHUP)]
    assert handler() is signal.SIG_DFL


def in_thread(work: Callable[[], object]) -> None:
    """Do *work* in another thread."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)


def test_no_such_signal(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no SIGHUP, only the time decides."""
    monkeypatch.setattr(config_file, "_HANG_UP", None)
    file = ConfigFile()
    file.follow(versions.follower)
    file.follow(None)


@pytest.mark.parametrize(
    ("result", "expected"),
    [(errno.ENXIO, False), (errno.ENOENT, False), (errno.EMFILE, True), (0, True)],
)
def test_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: int, expected: bool
) -> None:
    """A process has a terminal if it can open it, or if that cannot be known."""
    monkeypatch.setattr(os, "O_NOCTTY", 0, raising=False)
    path = tmp_path / "tty"
    path.touch()
    original = os.open

    def opened(_: str, flags: int) -> int:
        if result:
            raise OSError(result, "")
        return original(path, flags)

    monkeypatch.setattr(os, "open", opened)
    assert config_file._has_terminal() is expected


# -- real processes --------------------------------------------------------------------

BEGIN = """
import logging, os, signal, sys, threading
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) makes its children ignore it
import dtmetrics
from dtmetrics import configure, counter, flush, install_signal_handlers, shutdown

read_end, write_end = os.pipe()
os.set_blocking(write_end, False)
signal.set_wakeup_fd(write_end)

def commands():
    try:
        for line in sys.stdin:
            exec(line, globals())
            print("done", flush=True)
    finally:
        os._exit(1)

def stay():
    threading.Thread(target=commands, daemon=True).start()
    print("ready", flush=True)
    while True:  # each signal writes a byte, and no wait misses it
        os.read(read_end, 1)
"""


class Program:
    """A program that follows a file, and executes lines of code that it is sent."""

    def __init__(self, source: str, file: Path, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + NO_COLLECTION + textwrap.dedent(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "DTMETRICS_CONFIG": str(file),
                "DTMETRICS_ENDPOINT": url,
                "PYTHONUNBUFFERED": "1",
            },
            start_new_session=True,  # and so without a terminal
        )

    def __enter__(self) -> Program:
        self.wait_for("ready")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # also what it has forked
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def do(self, line: str) -> list[str]:
        """Have *line* executed; return what is printed meanwhile."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.wait_for("done")

    def wait_for(self, text: str) -> list[str]:
        """Wait for a line that holds *text*; return those before it."""
        found: list[str] = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if text in line:
                return found
            found.append(line.strip())
        raise AssertionError(found)

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self._process.send_signal(signal.SIGHUP)

    def end(self) -> int:
        """Wait for the end; return the status."""
        return self._process.wait(PATIENCE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of settings."""
    path = tmp_path / "shop.toml"
    path.write_text('prefix = "first"\n')
    return path


@needs_signals
def test_hang_up(file: Path) -> None:
    """A SIGHUP applies the file at once; a faulty version is logged, and changes nothing."""
    with (
        Endpoint() as endpoint,
        Program("configure()\ncounter('jobs').inc()\nstay()", file, endpoint.url) as it,
    ):
        for prefix in "second", "third":
            file.write_text(f'prefix = "{prefix}"\n')
            it.hang_up()
            it.wait_for("reconfigured by a new version")
            it.do("counter('jobs').inc()")
        file.write_text("levles = 1")
        it.hang_up()
        it.wait_for("levles is not a setting (did you mean levels?)")
        it.do("counter('jobs').inc(); assert flush(30)")
    totals = [endpoint.total(f"{each}.jobs") for each in ("first", "second", "third")]
    assert totals == [1, 1, 2]


@needs_signals
def test_shutdown_in_a_thread(file: Path) -> None:
    """After a shutdown in another thread, a SIGHUP ends the process as before."""
    with (
        Endpoint() as endpoint,
        Program("configure()\nstay()", file, endpoint.url) as program,
    ):
        program.do("shutdown()")  # in the thread of the commands
        program.hang_up()
        assert program.end() == -signal.SIGHUP


@needs_signals
@pytest.mark.parametrize(
    "source",
    [
        "threading.Thread(target=configure).start()",
        "signal.signal(signal.SIGHUP, print); configure()",
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); configure()",
        "install_signal_handlers(); configure()",
    ],
    ids=["thread", "handled", "ignored", "delayed"],
)
def test_left_alone(file: Path, source: str) -> None:
    """The action of SIGHUP stays what the program has made it."""
    code = f"""
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    *actions, last = {source!r}.split("; ")
    exec("; ".join(actions))
    before = signal.getsignal(signal.SIGHUP)
    exec(last)
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()
    assert signal.getsignal(signal.SIGHUP) is before
    """
    expect(BEGIN + textwrap.dedent(code), DTMETRICS_CONFIG=str(file))


TERMINAL = """
import fcntl, pty, termios
os.setsid()
main, other = pty.openpty()
fcntl.ioctl(other, termios.TIOCSCTTY, 0)
configure()
assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
"""


@needs_signals
def test_controlling_terminal(file: Path) -> None:
    """With a terminal no handler is installed, so that a hang-up ends the program."""
    # The leader of a session and its only process is not the leader of a group before.
    source = f"""
    pid = os.fork()
    if pid:
        sys.exit(os.waitpid(pid, 0)[1])
    exec({TERMINAL!r})
    os._exit(0)
    """
    expect(BEGIN + textwrap.dedent(source), DTMETRICS_CONFIG=str(file))


#: Sets an event when the second version has been applied.
APPLIED = """
from dtmetrics._runtime.runtime import Runtime, default
applied = threading.Event()
apply = Runtime._apply

def noted(self, given):
    apply(self, given)
    if default._config.prefix == "second":
        applied.set()

Runtime._apply = noted
"""

HELD = {
    "dtmetrics": "with default.registry.lock:",
    "runtime": "with default._lock.acquire(1):",
    "threading": "with threading._active_limbo_lock:",
    "logging": "with logging._lock:",
}


@needs_signals
@pytest.mark.parametrize("held", HELD.values(), ids=HELD.keys())
def test_with_a_lock_held(file: Path, held: str) -> None:
    """The handler does not wait, whichever lock the main thread holds."""
    source = f"""
{APPLIED}
configure()
counter("jobs").inc()
{held}
    file = open(os.environ["DTMETRICS_CONFIG"], "w")
    file.write('prefix = "second"')
    file.close()
    for _ in range(100):
        signal.raise_signal(signal.SIGHUP)
assert applied.wait(45)
stay()
"""
    with (
        Endpoint() as endpoint,
        Program(source, file, endpoint.url) as program,
    ):
        program.do("counter('jobs').inc(); assert flush(30)")
    assert [endpoint.total("first.jobs"), endpoint.total("second.jobs")] == [1, 1]


FORK = """
import functools
from dtmetrics._runtime import config_file
config_file.Follower = functools.partial(
    config_file.Follower, check_seconds=0.05, settle_seconds=0.01
)

def names():
    return [thread.name for thread in threading.enumerate()]

def follow():
    assert "dtmetrics-config" not in names()
    counter("jobs").inc()
    assert "dtmetrics-config" in names()
    assert applied.wait(45)
    counter("jobs").inc()
    assert flush(30)
    os._exit(0)

configure()
assert "dtmetrics-config" not in names()
counter("jobs").inc()
assert "dtmetrics-config" in names()
children = []
for _ in range(3):
    children.append(os.fork())
    if not children[-1]:
        follow()
quiet = os.fork()
if not quiet:
    assert "dtmetrics-config" not in names()
    os._exit(0)
path = os.environ["DTMETRICS_CONFIG"]
with open(path + ".new", "w") as new:
    new.write('prefix = "second"')
os.replace(path + ".new", path)
assert applied.wait(45)
counter("jobs").inc()
assert flush(30)
for child in (*children, quiet):
    assert os.waitpid(child, 0)[1] == 0
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.processes
def test_forked_children(file: Path) -> None:
    """Each forked child that records follows the file itself, and no other does."""
    with Endpoint() as endpoint:
        out = expect(
            BEGIN + NO_COLLECTION + APPLIED + FORK,
            DTMETRICS_CONFIG=str(file),
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONWARNINGS="ignore::DeprecationWarning",  # of a fork with threads
        )
    assert out.endswith("ok\n")
    assert endpoint.total("first.jobs") + endpoint.total("second.jobs") == 8
    assert endpoint.total("second.jobs") >= 4


SWITCHED_OFF = """
import functools
from dtmetrics._runtime import config_file
config_file.Follower = functools.partial(
    config_file.Follower, check_seconds=0.05, settle_seconds=0.01
)
configure()
counter("jobs").inc()
child = os.fork()
if not child:
    assert len(threading.enumerate()) == 1
    counter("jobs").inc()  # starts the thread that follows, and no other
    assert [thread.name for thread in threading.enumerate()][1:] == ["dtmetrics-config"]
    print("attempted", flush=True)
    assert applied.wait(45)
    counter("jobs").inc(5)
    assert flush(30)
    os._exit(0)
assert applied.wait(45)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_switched_on_in_a_child(file: Path) -> None:
    """A forked child that only attempts to record is switched on by a new version."""
    file.write_text('level = "OFF"')
    with (
        Endpoint() as endpoint,
        Program(
            f"{APPLIED}\nprint('ready', flush=True)\n{SWITCHED_OFF}", file, endpoint.url
        ) as program,
    ):
        program.wait_for("attempted")
        written(file, 'prefix = "second"')
        assert program.end() == 0
    assert endpoint.total("second.jobs") == 5


# -- under load ------------------------------------------------------------------------


@pytest.mark.usefixtures("switch_often")  # 2 s, or else 18 s
def test_exact_under_load(
    file: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No value is lost or counted twice while the file is rewritten 50 times."""
    applied: queue.Queue[str] = queue.Queue()
    original = Runtime._apply

    def noted(self: Runtime, given: Given) -> None:
        original(self, given)
        assert self._config is not None
        applied.put(self._config.prefix)

    monkeypatch.setattr(Runtime, "_apply", noted)
    monkeypatch.setattr(
        config_file,
        "Follower",
        partial(Follower, check_seconds=0.005, settle_seconds=0.001),
    )
    monkeypatch.setenv("DTMETRICS_CONFIG", str(file))
    stop = threading.Event()
    recorded = [0] * 3

    def record(thread: int) -> None:
        counter = runtime.meters.root.counter("jobs")
        gauge = runtime.meters.root.gauge("depth")
        while not stop.is_set():
            counter.inc()
            counter.inc(1, thread=thread)
            gauge.inc()
            recorded[thread] += 2

    with Endpoint() as endpoint:
        runtime.configure(endpoint=endpoint.url, self_metrics=False)
        threads = [threading.Thread(target=record, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(50):
                settings = (
                    f'prefix = "p{number}"\nlevel = "{["DEBUG", "INFO"][number % 2]}"\n'
                    f"interval = {10 + number}\n[dimensions]\nversion = {number}\n"
                )
                if number % 2:
                    written(file, settings)
                else:
                    file.write_text(settings)
                while applied.get(timeout=PATIENCE) != f"p{number}":
                    pass
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert runtime.shutdown(PATIENCE)
    keys = ["first.jobs", "jobs", *(f"p{number}.jobs" for number in range(50))]
    assert sum(map(endpoint.total, keys)) == sum(recorded)
    gauges = [line for line in endpoint.lines if line.startswith("p49.depth")]
    assert f"gauge,{sum(recorded) // 2} " in gauges[-1]


# -- a runtime -------------------------------------------------------------------------


def config_threads() -> list[threading.Thread]:
    """Return the threads that follow a file."""
    return [t for t in threading.enumerate() if t.name == "dtmetrics-config"]


def test_starts_with_the_first_record(file: Path, runtime: Runtime) -> None:
    """The thread starts with the first record, not with the call, and ends at shutdown."""
    runtime.file_config(file)
    assert config_threads() == []
    runtime.meters.root.counter("jobs").inc()
    [thread] = config_threads()
    runtime.shutdown(0.0)
    thread.join(PATIENCE)
    runtime.file_config(file)
    assert config_threads() == []


def test_starts_with_the_first_attempt(
    file: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that switches everything off is followed from the first attempt to record."""
    monkeypatch.setattr(
        config_file,
        "Follower",
        partial(Follower, check_seconds=0.005, settle_seconds=0.001),
    )
    file.write_text("level = 'OFF'")
    runtime.file_config(file)
    counter = runtime.meters.root.counter("jobs")
    assert config_threads() == []
    counter.inc()
    assert len(config_threads()) == 1
    assert not runtime.registry.recorded
    written(file, "interval = 3600")
    while not runtime.registry.recorded:
        counter.inc()


def test_without_a_file(file: Path, runtime: Runtime) -> None:
    """Without a file there is no thread; a configuration without one ends that of one."""
    runtime.configure(interval=None)
    runtime.meters.root.counter("jobs").inc()
    assert config_threads() == []
    runtime.file_config(file, force=True)
    [thread] = config_threads()  # a value has been recorded
    runtime.configure(interval=None, force=True)
    thread.join(PATIENCE)
    assert config_threads() == []


def test_late_version(file: Path, runtime: Runtime) -> None:
    """A version that is read while the program configures anew is not applied."""
    runtime.file_config(file)
    follower = followed(runtime)
    file.write_text("prefix = 'second'")
    runtime.configure(prefix="own", force=True)
    follower.look(settled=True)
    assert runtime._config is not None
    assert runtime._config.prefix == "own"


def test_runtime_applies_versions(
    file: Path,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A version is applied below the same arguments and variables as the first."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("DTMETRICS_CONFIG", str(file))
    monkeypatch.setenv("DTMETRICS_LEVEL", "WARNING")
    runtime.configure(interval=None, dimensions={"a": 1})
    sent = runtime.travel.sent
    file.write_text(
        "interval = 5\nlevel = 10\ndimensions = {a = 2, b = 2}\nstrict = true"
    )
    followed(runtime).look(settled=True)
    config = runtime._config
    assert config is not None
    assert (config.interval, config.level, config.strict) == (None, 30, True)
    assert config.dimensions == {"a": 1, "b": 2}
    assert runtime.travel.sent != sent
    assert f"dtmetrics: reconfigured by a new version of {file}" in caplog.messages
    file.write_text("strict = 1")
    followed(runtime).look(settled=True)
    assert runtime._config is config


def followed(runtime: Runtime) -> Follower:
    """Return what follows the file of *runtime*."""
    assert runtime._file.follower is not None
    return runtime._file.follower

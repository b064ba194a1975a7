from __future__ import annotations

import logging
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import dtmetrics
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._runtime.runtime import Runtime
from tests.support.recorder import Recorder
from tests.support.timer_clock import Timing
from tests.support.vectors import CASES

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60)
settings.register_profile(
    "dev", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# eventlet imports dnspython, that httpx2 where it is installed, and that truststore,
# which eventlet then cannot patch. Programs that tests start inherit the variable.
os.environ["EVENTLET_NO_GREENDNS"] = "yes"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let pytest-xdist run whole directories, unless an option chooses otherwise.

    Single files run in this process, because workers take a second to start. So does a run
    under a debugger, under coverage, or with output that is not captured.
    """
    options = config.option
    if (
        "PYTEST_XDIST_WORKER" not in os.environ  # or workers would start workers
        and getattr(options, "numprocesses", 0) is None  # 0 without pytest-xdist
        and options.dist == "no"
        and not (options.trace or options.capture == "no" or options.collectonly)
        and not options.benchmark_enable
        and not is_traced()
        and all(os.path.isdir(argument) for argument in config.args)
    ):
        options.numprocesses = "auto"
        options.dist = "worksteal"


def is_traced() -> bool:
    """Return whether a debugger or coverage follows this process."""
    monitoring = getattr(sys, "monitoring", None)  # since CPython 3.12
    tools = ("DEBUGGER_ID", "COVERAGE_ID") if monitoring else ()
    used = [monitoring.get_tool(getattr(monitoring, tool)) for tool in tools]
    return sys.gettrace() is not None or any(used)


def pytest_configure(config: pytest.Config) -> None:
    """Let the programs that tests start, and workers, share compiled modules.

    Without these a program takes 0.9 s to import the package, with them 0.2 s.
    """
    if sys.dont_write_bytecode and hasattr(config, "cache"):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the tests that the run leaves out, and how to run all."""
    if "not processes" not in config.option.markexpr:
        return []
    return ["fast tests only; all but the slow ones: python -m pytest -m 'not slow'"]


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Deselect the conformance tests if the file of their cases is absent."""
    if not CASES:
        absent = [item for item in items if item.get_closest_marker("conformance")]
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


def pytest_sessionstart() -> None:
    """Let Ctrl-C interrupt also where a shell's background job inherits that it is not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def recorder() -> Recorder:
    """Return a registry that records, without delivery, for this test alone."""
    return Recorder()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """Return a runtime for this test alone, like the one behind ``import dtmetrics``."""
    made = Runtime()
    yield made
    made.shutdown()


@pytest.fixture
def switch_often() -> Iterator[None]:
    """Let threads switch 500 times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def own_tempdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory for temporary files, of this process and of its children.

    No other test shares it.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def timing() -> Timing:
    """Return timers whose clock the test moves."""
    return Timing()


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Assert that the test leaves no thread behind, and stop the default runtime."""
    before = set(threading.enumerate())
    yield
    dtmetrics.shutdown(timeout=0.1)
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.fixture(autouse=True)
def _accounts_add_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Assert that the account of each outbox of the test adds up at its end."""
    made: list[Outbox] = []
    init = Outbox.__init__

    def watch(self: Outbox, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(Outbox, "__init__", watch)
    yield
    for outbox in made:
        with outbox._lock:
            account = outbox.account()
            waiting = outbox.waiting()
        done = account.accepted + account.rejected + sum(account.dropped.values())
        assert account.collected == done + account.waiting
        assert account.waiting == sum(batch.points for batch, _ in waiting)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the machine that runs the tests."""
    for name in list(os.environ):
        if name.startswith(("DTMETRICS_", "DT_METRICS_")):
            monkeypatch.delenv(name)
    # Files of a OneAgent on it would add dimensions to every line.
    monkeypatch.setenv("DTMETRICS_ENRICH", "false")


@pytest.fixture(autouse=True)
def _nothing_swallowed(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail on errors that the flusher survives and logs, unless the test expects them."""
    yield
    if "expects_errors" not in request.fixturenames:
        records = caplog.get_records("call")
        messages = [r.getMessage() for r in records if r.levelno >= logging.WARNING]
        faults = "an error in the flusher", " raised ", "must return an ExportResult"
        assert [m for m in messages if any(fault in m for fault in faults)] == []
    logging.getLogger("dtmetrics").setLevel(logging.NOTSET)


@pytest.fixture
def expects_errors() -> None:
    """Allow the flusher to log an error in this test."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate of this host, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command here")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        f"-keyout {path} -out {path}.crt -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1,DNS:localhost"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """Return the TLS context of an endpoint with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap

import pytest

from dtmetrics._core import fork_guard, log
from tests.support.endpoint import PATIENCE
from tests.support.script import expect, run


def test_levels(caplog: pytest.LogCaptureFixture) -> None:
    """Records go to the logger ``dtmetrics``, with their level and a prefix."""
    caplog.set_level(logging.INFO, "dtmetrics")
    log.info("%d of %d", 1, 2)
    log.warning("look")
    records = [(r.name, r.levelno, r.getMessage()) for r in caplog.records]
    assert records == [
        ("dtmetrics", logging.INFO, "dtmetrics: 1 of 2"),
        ("dtmetrics", logging.WARNING, "dtmetrics: look"),
    ]
    assert log.INFO == logging.INFO


ANNOUNCE = """
    import logging, sys
    from dtmetrics._core import log
    exec(sys.argv[1])
    log.announce("delivering to %s", "abc.example")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("setup", "shown"),
    [
        ("", "dtmetrics: delivering to abc.example\r\n"),
        ("logging.basicConfig()", ""),
        ("logging.getLogger('dtmetrics').setLevel('WARNING')", ""),
        ("logging.getLogger('dtmetrics').addHandler(logging.NullHandler())", ""),
        ("logging.basicConfig(level='INFO', format='%(message)s')", None),
    ],
)
def test_announcement_on_a_terminal(setup: str, shown: str | None) -> None:
    """An announcement is printed on a terminal only if logging is not set up."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", textwrap.dedent(ANNOUNCE), setup]
    try:
        subprocess.run(command, stderr=theirs, check=True, timeout=PATIENCE)
        os.write(theirs, b".")  # a read from an empty terminal would block
        text = os.read(ours, 1_000).decode().removesuffix(".")
    finally:
        os.close(ours)
        os.close(theirs)
    # With a handler it is a record like any other.
    assert text == (
        "dtmetrics: delivering to abc.example\r\n" if shown is None else shown
    )


def test_announcement_off_a_terminal() -> None:
    """An announcement is not printed into a file or a pipe, nor without a stderr."""
    ended = run(ANNOUNCE, "")
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    assert expect(ANNOUNCE, "sys.stderr = None") == ""


def test_a_filter_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A filter of the application that raises does not break the call that logs."""

    def fails(record: logging.LogRecord) -> bool:
        raise RuntimeError

    logger = logging.getLogger("dtmetrics")
    logger.addFilter(fails)
    try:
        log.warning("lost")
    finally:
        logger.removeFilter(fails)
    log.warning("logged")
    assert [record.getMessage() for record in caplog.records] == ["dtmetrics: logged"]


def test_logging_is_imported_late() -> None:
    """Importing dtmetrics and recording do not import logging."""
    source = """
        import sys
        import dtmetrics
        dtmetrics.counter("jobs.run").inc()
        print("logging" in sys.modules)
    """
    assert expect(source) == "False\n"


HANGS = """
import logging, os, threading
from dtmetrics._core import fork_guard, log

fork_guard._FORK_WAIT_SECONDS = 0.01
inside, go = threading.Event(), threading.Event()

class Hanging(logging.Handler):
    def emit(self, record):
        inside.set()
        go.wait(40)

logging.getLogger("dtmetrics").addHandler(Hanging())
thread = threading.Thread(target=log.warning, args=("first",))
thread.start()
inside.wait(40)
pid = os.fork()
if not pid:
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), go.is_set())
go.set()
thread.join()
log.warning("second")
print("written")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_a_handler_hangs() -> None:
    """A handler that hangs delays a fork by a second at most, and breaks no later record."""
    assert fork_guard._FORK_WAIT_SECONDS == 1.0
    assert expect(HANGS, PYTHONWARNINGS="ignore") == "3 False\nwritten\n"


FORKS = """
import logging, os, signal, sys, threading
from dtmetrics._core import log

inside, written = threading.Event(), threading.Lock()

class File(logging.Handler):
    def emit(self, record):
        with written:  # like the lock of a file's buffer, which a fork does not reset
            if record.getMessage() == "dtmetrics: first":
                inside.set()
                go.wait(40)

go = threading.Event()
logging.getLogger("dtmetrics").addHandler(File())
thread = threading.Thread(target=log.warning, args=("first",))
thread.start()
inside.wait(40)
threading.Timer(0.05, go.set).start()
pid = os.fork()
if not pid:
    signal.alarm(40)
    log.warning("second")
    os._exit(0)
print(os.waitpid(pid, 0)[1], go.is_set())
thread.join()
log.warning("third")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_a_record_is_written() -> None:
    """A fork waits until a record is written, so that the child can write its own."""
    assert expect(FORKS, PYTHONWARNINGS="ignore") == "0 True\n"

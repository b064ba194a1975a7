from __future__ import annotations

import logging
import os

import pytest

from dtmetrics._core import log
from tests.support.script import expect


def test_says(caplog: pytest.LogCaptureFixture) -> None:
    """What is said goes to the logger of the package's name, at its level."""
    caplog.set_level(logging.INFO, "dtmetrics")
    log.info("%d of %d", 1, 2)
    log.warning("look")
    said = [(r.name, r.levelno, r.getMessage()) for r in caplog.records]
    assert said == [
        ("dtmetrics", logging.INFO, "dtmetrics: 1 of 2"),
        ("dtmetrics", logging.WARNING, "dtmetrics: look"),
    ]
    assert log.INFO == logging.INFO


def test_a_filter_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A filter of the application's that raises does not reach who records."""

    def fails(record: logging.LogRecord) -> bool:
        raise RuntimeError

    logger = logging.getLogger("dtmetrics")
    logger.addFilter(fails)
    try:
        log.warning("lost")
    finally:
        logger.removeFilter(fails)
    log.warning("said")
    assert [record.getMessage() for record in caplog.records] == ["dtmetrics: said"]


def test_is_loaded_late() -> None:
    """A program that has nothing to say does not load logging."""
    source = """
        import sys
        import dtmetrics
        dtmetrics.counter("jobs.run").inc()
        print("logging" in sys.modules)
    """
    assert expect(source) == "False\n"


FORKS = """
import logging, os, signal, sys, threading
from dtmetrics._core import log

inside, written = threading.Event(), threading.Lock()

class File(logging.Handler):
    def emit(self, record):
        with written:  # as the buffer of a file has a lock, which no fork resets
            if record.getMessage() == "dtmetrics: first":
                inside.set()
                go.wait(10)

go = threading.Event()
logging.getLogger("dtmetrics").addHandler(File())
thread = threading.Thread(target=log.warning, args=("first",))
thread.start()
inside.wait(10)
threading.Timer(0.05, go.set).start()
pid = os.fork()
if not pid:
    signal.alarm(10)
    log.warning("second")
    os._exit(0)
print(os.waitpid(pid, 0)[1], go.is_set())
thread.join()
log.warning("third")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_while_something_is_said() -> None:
    """A fork waits until a line is written, so that no child hangs at its own."""
    assert expect(FORKS, PYTHONWARNINGS="ignore") == "0 True\n"

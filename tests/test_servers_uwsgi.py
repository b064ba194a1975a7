"""uWSGI, which forks in ways of its own: what it served is what arrives."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.endpoint import Endpoint
from tests.servers import Server

UWSGI = Path(sys.executable).with_name("uwsgi")

if not UWSGI.exists():
    pytest.skip("uWSGI is not installed", allow_module_level=True)

FLAGS = {
    "plain": "",
    "threads enabled": "--enable-threads",
    "fork hooks": "--py-call-uwsgi-fork-hooks",
    "both": "--enable-threads --py-call-uwsgi-fork-hooks",
    "threads": "--threads=2",
    "lazy": "--enable-threads --lazy-apps",
    "no teardown": "--enable-threads --skip-atexit-teardown",
}


# --die-on-term lets a worker that is busy end without any hook, be it with its log.
GRACEFUL = "--hook-master-start=unix_signal:15 gracefully_kill_them_all"

# In the master, which must not start a thread before it has forked.
RECORDED = """
counter("parents").inc()
import threading, uwsgi
assert uwsgi.worker_id() or threading.active_count() == 1
"""


def check(flags: str, place: Path, more: str) -> None:
    """Serve and replace the workers; compare what arrived."""
    command = [str(UWSGI), "--master", "--processes=2", "--http-socket=http"]
    command += ["--wsgi=app:wsgi", "--need-app", "--disable-logging", GRACEFUL]
    with Endpoint() as endpoint:
        with Server(
            [*command, *flags.split()], place, endpoint.url, more=more
        ) as server:
            server.serve()
            server.replace(None if "--max-requests" in flags else signal.SIGHUP)
            server.serve()
        assert endpoint.total("requests.served") == len(server.answers)
    apps = server.said.count("WSGI app 0")
    assert endpoint.total("parents") <= (apps if more else 0)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS.keys())
def test_exact(flags: str, tmp_path: Path) -> None:
    """Whatever tells of a fork, each worker counts for itself, and sums are exact."""
    check(flags, tmp_path, RECORDED)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [RECORDED, ""], ids=["recorded before", ""])
@pytest.mark.parametrize("flags", [*FLAGS.values(), "--max-requests=50"])
def test_exact_often(flags: str, more: str, tmp_path: Path) -> None:
    """So they are where nothing was recorded before, and every time."""
    for number in range(3):
        place = tmp_path / str(number)
        place.mkdir()
        check(flags, place, more)

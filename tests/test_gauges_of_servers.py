"""The gauges of the workers of real servers."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.web_servers import UWSGI, WORKERS, Server, gunicorn, uwsgi
from tests.support.worker_gauges import DEFINED, check_others, processes

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def _own_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the numbers of a test's processes from 0 on, beside other servers."""
    monkeypatch.setenv("DTMETRICS_DIMENSIONS", f"place={tmp_path}")


def require(module: str) -> None:
    """Skip the test where *module* is not installed."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def serve(command: list[str], place: Path, rounds: int = 1) -> dict[str, list[str]]:
    """Serve and replace the workers; return the processes by the number of a worker."""
    with Endpoint() as endpoint:
        with Server(command, place, endpoint.url, more=DEFINED) as server:
            server.live(rounds)
        check_others(endpoint)
        served = {str(process) for process in server.answers}
        found = processes(endpoint)
    assert {process for each in found.values() for process in each} == served
    return found


@pytest.mark.parametrize("kind", ["sync", "uvicorn"])
@pytest.mark.parametrize("flags", ["", "--preload"])
def test_gunicorn(kind: str, flags: str, tmp_path: Path) -> None:
    """Each worker of gunicorn has a number, which the next worker takes over."""
    require("gunicorn")
    require(WORKERS[kind][-1])
    # By a signal, not by --max-requests: then one worker may end before the other begins.
    found = serve(gunicorn(kind, flags), tmp_path, rounds=2)
    # A worker that ends may still deliver while the next one begins.
    assert {"0", "1"} <= found.keys() <= {"0", "1", "2", "3"}
    assert len(found["0"]) > 1


@pytest.mark.parametrize("flags", ["", "--lazy-apps"])
def test_uwsgi(flags: str, tmp_path: Path) -> None:
    """Each worker of uWSGI has a number, whether it loads the application or a master."""
    if not UWSGI.exists():
        pytest.skip("uWSGI is not installed")
    found = serve(uwsgi(f"--enable-threads {flags}"), tmp_path)
    assert found.keys() == {"0", "1"}


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"])
def test_spawned(server: str, tmp_path: Path) -> None:
    """Each worker that a server spawns has a number."""
    require(server)
    socket = {
        "uvicorn": ["--uds=http"],
        "hypercorn": ["--bind=unix:http"],
        "granian": ["--uds=http", "--interface=asgi"],
    }[server]
    command = [sys.executable, "-m", server, "app:asgi", "--workers=2", *socket]
    with Endpoint() as endpoint:
        with Server(command, tmp_path, endpoint.url, more=DEFINED) as live:
            live.wait_for(
                lambda: len(processes(endpoint)) == len(set(live.answers)) == 2
            )
        check_others(endpoint)
        assert processes(endpoint).keys() == {"0", "1"}


def test_alone(tmp_path: Path) -> None:
    """A server of one process has no number."""
    require("uvicorn")
    command = [sys.executable, "-m", "uvicorn", "app:asgi", "--uds=http"]
    with Endpoint() as endpoint:
        with Server(command, tmp_path, endpoint.url, workers=1, more=DEFINED) as live:
            live.wait_for(lambda: bool(processes(endpoint)))
        assert processes(endpoint).keys() == {""}

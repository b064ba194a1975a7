"""gunicorn with each kind of worker: what it served is what arrives."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.endpoint import Endpoint
from tests.servers import Server

if find_spec("gunicorn") is None:
    pytest.skip("gunicorn is not installed", allow_module_level=True)

WORKERS = {
    "sync": ("sync", "app:wsgi", ""),
    "gthread": ("gthread", "app:wsgi", ""),
    "gevent": ("gevent", "app:wsgi", "gevent"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "app:asgi", "uvicorn_worker"),
}


def gunicorn(kind: str, *flags: str) -> list[str]:
    """Return how to start gunicorn with two workers of a kind."""
    worker, app, module = WORKERS[kind]
    if module and find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    command = [sys.executable, "-m", "gunicorn", "--workers=2", "--no-control-socket"]
    command += [f"--worker-class={worker}", "--bind=unix:http", "--graceful-timeout=3"]
    return [*command, *flags, app]


def check(kind: str, flags: str, place: Path, rounds: int) -> None:
    """Serve and replace the workers, again and again; compare what arrived."""
    with Endpoint() as endpoint:
        with Server(gunicorn(kind, *flags.split()), place, endpoint.url) as server:
            for _ in range(rounds):
                server.serve()
                server.replace(None if "--max-requests" in flags else signal.SIGHUP)
        assert endpoint.total("requests.served") == len(server.answers)


FLAGS = ["", "--preload", "--max-requests=50", "--preload --max-requests=50"]


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("flags", FLAGS)
def test_exact(kind: str, flags: str, tmp_path: Path) -> None:
    """Whoever serves, and however workers are replaced meanwhile: sums are exact."""
    check(kind, flags, tmp_path, rounds=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("flags", FLAGS)
def test_exact_often(kind: str, flags: str, tmp_path: Path) -> None:
    """So they are however often it happens."""
    check(kind, flags, tmp_path, rounds=3)

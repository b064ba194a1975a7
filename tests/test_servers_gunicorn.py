"""gunicorn with each kind of worker."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.web_servers import GUNICORN_FLAGS, WORKERS, Server, gunicorn

if find_spec("gunicorn") is None:
    pytest.skip("gunicorn is not installed", allow_module_level=True)


def check(kind: str, flags: str, place: Path, rounds: int) -> None:
    """Serve and replace the workers *rounds* times; compare what arrived."""
    if find_spec(module := WORKERS[kind][-1]) is None:
        pytest.skip(f"{module} is not installed")
    with Endpoint() as endpoint:
        with Server(gunicorn(kind, flags), place, endpoint.url) as server:
            server.live(rounds)
        assert endpoint.total("requests.served") == len(server.answers)
    assert server.flushers == 1


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("flags", GUNICORN_FLAGS)
def test_exact(kind: str, flags: str, tmp_path: Path) -> None:
    """Sums are exact for each kind of worker, while all workers are replaced."""
    check(kind, flags, tmp_path, rounds=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("flags", GUNICORN_FLAGS)
def test_exact_often(kind: str, flags: str, tmp_path: Path) -> None:
    """Sums are exact while all workers are replaced three times."""
    check(kind, flags, tmp_path, rounds=3)

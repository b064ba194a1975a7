"""gunicorn with each kind of worker."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.web_servers import GUNICORN_FLAGS, WORKERS, Server, gunicorn

if find_spec("gunicorn") is None:
    pytest.skip("gunicorn is not installed", allow_module_level=True)

pytestmark = pytest.mark.processes

OFTEN = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("flags", GUNICORN_FLAGS)
@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=OFTEN)])
def test_exact(kind: str, flags: str, tmp_path: Path, rounds: int) -> None:
    """Sums are exact for each kind of worker, while all workers are replaced."""
    if find_spec(module := WORKERS[kind][-1]) is None:
        pytest.skip(f"{module} is not installed")
    with Endpoint() as endpoint:
        with Server(gunicorn(kind, flags), tmp_path, endpoint.url) as server:
            server.live(rounds)
        assert endpoint.total("requests.served") == len(server.answers)
    assert server.flushers == 1

"""uWSGI, with each way in which it forks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.web_servers import IN_THE_MASTER, UWSGI, UWSGI_FLAGS, Server, uwsgi

if not UWSGI.exists():
    pytest.skip("uWSGI is not installed", allow_module_level=True)

pytestmark = pytest.mark.processes


def check(flags: str, place: Path, more: str) -> None:
    """Serve and replace the workers; compare what arrived."""
    with Endpoint() as endpoint:
        with Server(uwsgi(flags), place, endpoint.url, more=more) as server:
            server.live(rounds=1)
        assert endpoint.total("requests.served") == len(server.answers)
    assert server.flushers == 1
    apps = server.output.count("WSGI app 0")
    assert endpoint.total("parents") <= (apps if more else 0)


@pytest.mark.parametrize("flags", UWSGI_FLAGS.values(), ids=UWSGI_FLAGS.keys())
def test_exact(flags: str, tmp_path: Path) -> None:
    """Sums are exact with each set of uWSGI's flags, while workers are replaced."""
    check(flags, tmp_path, IN_THE_MASTER)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [IN_THE_MASTER, ""], ids=["recorded before", ""])
@pytest.mark.parametrize("flags", [*UWSGI_FLAGS.values(), "--max-requests=50"])
def test_exact_often(flags: str, more: str, tmp_path: Path) -> None:
    """Sums are exact every time, whether or not the master has recorded before."""
    for number in range(3):
        place = tmp_path / str(number)
        place.mkdir()
        check(flags, place, more)

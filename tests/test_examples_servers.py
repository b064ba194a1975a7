"""The programs of ``examples/platforms`` that are run by gunicorn, uWSGI and uvicorn."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.example_pages import ExamplePage, environment
from tests.support.web_load import Ask, counts, expected, load, serving
from tests.support.web_servers import UWSGI

pytestmark = pytest.mark.processes

TIMES = 10
UVICORN_WORKERS = ["--worker-class", "uvicorn_worker.UvicornWorker"]


def served(command: list[str], page: ExamplePage, endpoint: Endpoint) -> None:
    """Send requests to the server that *command* starts, and stop it."""
    route = "/" if "http.route" in page.text else None
    asks = [Ask("GET", "/", route, "200")] * TIMES
    with serving(command, endpoint, page.folder) as address:
        load(address, asks)
    assert counts(endpoint) == expected(asks)
    assert endpoint.total("pages.served") == TIMES
    page.check(endpoint.lines)


@pytest.mark.parametrize("more", ["", "--preload", "--worker-class=gevent"])
def test_gunicorn(more: str) -> None:
    """What the workers have recorded arrives when the server is stopped."""
    pytest.importorskip("gunicorn")
    if "gevent" in more:
        pytest.importorskip("gevent")
    page = ExamplePage("platforms/gunicorn")
    command = [*page.command("gunicorn"), "--bind=127.0.0.1:0", *more.split()]
    with Endpoint() as endpoint:
        served(command, page, endpoint)


def test_uvicorn() -> None:
    """What the server has recorded arrives when the signal stops it."""
    pytest.importorskip("uvicorn")
    page = ExamplePage("platforms/uvicorn")
    with Endpoint() as endpoint:
        served([*page.command("uvicorn"), "--port=0"], page, endpoint)


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_uvicorn_workers_of_gunicorn(preload: list[str]) -> None:
    """What uvicorn's workers have recorded arrives when gunicorn is stopped."""
    for module in ("gunicorn", "uvicorn_worker"):
        pytest.importorskip(module)
    page = ExamplePage("platforms/uvicorn")
    [app] = page.command("uvicorn")[1:]
    command = ["gunicorn", "--bind=127.0.0.1:0", *UVICORN_WORKERS, *preload, app]
    with Endpoint() as endpoint:
        served(command, page, endpoint)


PLAIN = """
from dtmetrics import configure, counter

configure()
served = counter("pages.served")

async def application(scope, receive, send):
    assert scope["type"] == "http"  # there is no lifespan
    served.inc()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


def test_the_hook_of_gunicorn(tmp_path: Path) -> None:
    """The hook on uvicorn's page sends the rest of an application without a lifespan."""
    for module in ("gunicorn", "uvicorn_worker"):
        pytest.importorskip(module)
    hook = ExamplePage("platforms/uvicorn").part("def post_worker_init")
    (tmp_path / "gunicorn.conf.py").write_text(hook, "utf-8")
    (tmp_path / "plain.py").write_text(PLAIN, "utf-8")
    command = ["gunicorn", "--bind=127.0.0.1:0", "--preload", *UVICORN_WORKERS]
    with Endpoint() as endpoint:
        with serving([*command, "plain:application"], endpoint, tmp_path) as address:
            load(address, [Ask("GET", "/", None, "200")] * TIMES)
        assert endpoint.total("pages.served") == TIMES


@pytest.mark.skipif(not UWSGI.exists(), reason="uWSGI is not installed")
def test_uwsgi(tmp_path: Path) -> None:
    """What the workers have recorded arrives when SIGTERM stops the server."""
    page = ExamplePage("platforms/uwsgi")
    _, option, name = page.command("uwsgi")
    # A socket of this test alone, in place of a port.
    address = str(tmp_path / "http")
    settings = (page.folder / name).read_text().replace("127.0.0.1:8000", address)
    (tmp_path / name).write_text(settings)
    transport = httpx.HTTPTransport(uds=address)
    asks = [Ask("GET", "/", None, "200")] * TIMES
    with Endpoint() as endpoint:
        command = [str(UWSGI), option, str(tmp_path / name)]
        with (
            uwsgi(command, page.folder, endpoint) as process,
            httpx.Client(transport=transport, timeout=PATIENCE) as client,
        ):
            for ask in asks:
                assert client.get(f"http://uwsgi{ask.path}").status_code == 200
            process.terminate()
            endpoint.wait_for_total("pages.served", TIMES)
            assert endpoint.wait_until(lambda: counts(endpoint) == expected(asks))
    page.check(endpoint.lines)


@contextmanager
def uwsgi(
    command: list[str], place: Path, endpoint: Endpoint
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in the directory *place*, from the start of its last worker on.

    At the end all of its processes are killed: some masters do not end, also in a
    program without dtmetrics (9 of 15 of uWSGI 2.0.31).
    """
    with subprocess.Popen(
        command,
        cwd=place,
        env=environment(endpoint),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        try:
            assert any(b"spawned uWSGI worker 2" in line for line in process.stderr)
            # From here on it writes some lines, which fit in the pipe.
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

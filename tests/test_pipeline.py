"""The pipeline of ``examples/platforms``: an application, Celery, a pool and Dask."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.endpoint import PATIENCE, Endpoint, refusing_port
from tests.support.engines import running
from tests.support.example_pages import ExamplePage
from tests.support.platforms import needs_signals
from tests.support.redis_server import RedisServer
from tests.support.script import python_path
from tests.support.web_load import serving

for module in ("celery", "distributed", "fastapi", "redis", "uvicorn"):
    pytest.importorskip(module)
pytestmark = [pytest.mark.processes, needs_signals, pytest.mark.timeout(240)]

CHARTS, CHUNKS = 3, 4


class Pipeline:
    """The programs of the page, which all send to one endpoint."""

    def __init__(self, place: Path, endpoint: Endpoint) -> None:
        self.page = ExamplePage("platforms/end-to-end")
        self.endpoint = endpoint
        self.client = httpx.Client(trust_env=False, timeout=PATIENCE)
        self._place = place
        self._cluster: subprocess.Popen[bytes] | None = None
        self._requested = 0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Run the application and the cluster, which end at the end of the block."""
        with (
            self.running("cluster", self.page.command("python")[1:], piped=True) as it,
            serving(
                [*self.page.command("uvicorn"), "--port=0"],
                self.endpoint,
                self.page.folder,
            ) as address,
            self.client,
        ):
            self._cluster, self.client.base_url = it, httpx.URL(address)
            assert self._has_workers(2)
            yield
            it.communicate(timeout=PATIENCE)  # the end of the input
            assert it.returncode == 0

    def worker(self, *options: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a worker of Celery."""
        fixed = "--concurrency=2 --loglevel=info --without-gossip --without-mingle"
        command = ["-m", *self.page.command("celery"), *fixed.split(), *options]
        return self.running("celery", command)

    def running(
        self, name: str, command: list[str], *, piped: bool = False
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run Python with *command*, whose log is in a directory *name*."""
        place = self._place / name
        place.mkdir(exist_ok=True)
        program = [
            str(self.page.folder / part) if part.endswith(".py") else part
            for part in command
        ]
        return running(
            program,
            place,
            piped=piped,
            DTMETRICS_ENDPOINT=self.endpoint.url,
            PYTHONPATH=python_path(self.page.folder),
            PYTHONDONTWRITEBYTECODE="1",
        )

    def request(self, reports: int) -> list[str]:
        """Request reports; return their keys."""
        self._requested += reports
        asked = {"charts": CHARTS, "chunks": CHUNKS}
        answers = [self.client.post("/reports", params=asked) for _ in range(reports)]
        return [answer.json()["key"] for answer in answers]

    def wait_for(self, keys: Iterable[str]) -> None:
        """Wait until the reports have been made."""
        for key in keys:
            answer = self.client.get(f"/reports/{key}").json()
            assert answer == {"total": sum(range(CHUNKS * 1_000))}

    def scale(self, workers: int) -> None:
        """Change the number of workers of Dask."""
        assert self._cluster is not None
        assert self._cluster.stdin is not None
        self._cluster.stdin.write(b"%d\n" % workers)
        self._cluster.stdin.flush()
        assert self._has_workers(workers)

    def check(self) -> None:
        """Assert that the sums are right, and that the page lists what has arrived."""
        # Celery may run a task again that had begun when its worker was stopped.
        made = (self._place / "celery" / "log").read_text().count(" succeeded in ")
        assert made >= self._requested
        expected = {
            "reports.requested": self._requested,
            "reports.made": made,
            "charts.drawn": made * CHARTS,
            "chunks.added": made * CHUNKS,
        }
        assert {key: self.endpoint.total(key) for key in expected} == expected
        self.page.check(self.endpoint.lines, missing={"error.type"})

    def _has_workers(self, count: int) -> bool:
        assert self._cluster is not None
        assert self._cluster.stdout is not None
        return self._cluster.stdout.readline() == b"workers: %d\n" % count


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Return the pipeline, with a Redis of its own."""
    port = str(refusing_port())
    with RedisServer() as redis, Endpoint() as endpoint:
        monkeypatch.setenv("REDIS_URL", redis.url)
        monkeypatch.setenv("DASK_PORT", port)
        monkeypatch.setenv("DASK_SCHEDULER", f"tcp://127.0.0.1:{port}")
        yield Pipeline(tmp_path, endpoint)


def stop(worker: subprocess.Popen[bytes]) -> None:
    """Stop Celery as a supervisor does."""
    worker.terminate()
    assert worker.wait(PATIENCE) == 0


def test_warm_stop(pipeline: Pipeline) -> None:
    """A worker of Celery that is stopped at work loses nothing; the next one goes on."""
    with pipeline.run():
        # Both run at once. With more in reserve, Celery (5.7) now and then waits for 30 s
        # and runs one again.
        keys = pipeline.request(2)
        with pipeline.worker() as worker:
            pipeline.wait_for(keys[:1])
            stop(worker)
        keys += pipeline.request(2)
        with pipeline.worker() as worker:
            pipeline.wait_for(keys)
            stop(worker)
    pipeline.check()


def test_recycling(pipeline: Pipeline) -> None:
    """Processes of Celery that are replaced after each task lose nothing."""
    with pipeline.run(), pipeline.worker("--max-tasks-per-child=1") as worker:
        pipeline.wait_for(pipeline.request(4))
        stop(worker)
    pipeline.check()


def test_scale_down(pipeline: Pipeline) -> None:
    """A worker of Dask that is scaled down loses nothing."""
    with pipeline.run(), pipeline.worker() as worker:
        pipeline.wait_for(pipeline.request(2))
        pipeline.scale(1)
        pipeline.wait_for(pipeline.request(2))
        stop(worker)
    pipeline.check()

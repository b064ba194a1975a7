from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.platform_files import EndpointFileExporter, endpoint_file
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import Endpoint, accept, answer
from tests.support.platforms import needs_flock
from tests.support.recorder import MOMENT

TOKEN = "dt0c01.CANARY.secret"
BATCH = Batch(b"a count,delta=1", (), MOMENT)


class FakeExporter:
    """An exporter that records its calls, and knows no token but those that are valid."""

    def __init__(self, name: str, calls: list[str], revoked_token: str = "") -> None:
        self.name = name
        self.calls = calls
        self.revoked_token = revoked_token

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        self.calls.append(self.name)
        valid = not self.revoked_token or self.revoked_token not in self.name
        return ExportResult(Outcome.ANSWERED if valid else Outcome.MISCONFIGURED)

    def close(self) -> None:
        self.calls.append(f"close {self.name}")

    def reset_after_fork(self) -> None:
        self.calls.append(f"fork {self.name}")


class Platform:
    """The operator's file, an exporter that reads it, and a clock."""

    def __init__(self, directory: Path) -> None:
        self.path = Path(endpoint_file(str(directory)))
        self.path.parent.mkdir()
        self.now = 0.0
        self.calls: list[str] = []
        self.revoked_token = ""
        self.changes = 0

    def write(self, url: str, token: str | None = "abc", *, more: str = "") -> None:
        """Write the file as the operator does."""
        lines = f"DT_METRICS_INGEST_URL={url}\nDT_FUTURE_VALUE=1\n"
        if token is not None:
            lines += f"DT_METRICS_INGEST_API_TOKEN={token}\n"
        self.path.write_text(lines + more, "utf-8")

    def exporter(self) -> EndpointFileExporter:
        """Return an exporter that reads the file."""

        def make(endpoint: Secret, token: Secret) -> Any:
            config = Config().with_destination(endpoint, token)
            name = f"{config.endpoint} {config.token.reveal()}"
            return FakeExporter(name, self.calls, self.revoked_token)

        def count_change() -> None:
            self.changes += 1

        local = FakeExporter("local", self.calls)
        return EndpointFileExporter(
            str(self.path), make, local, count_change, lambda: self.now
        )

    def after(self, seconds: float, exporter: EndpointFileExporter) -> str:
        """Export once, *seconds* later; return the destination."""
        self.now += seconds
        exporter.export(BATCH, 1.0)
        return self.calls[-1]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """Return a platform in an empty directory."""
    return Platform(tmp_path)


ONE, TWO = "https://one.example/api/v2/metrics/ingest", "https://two.example/e/x"
AT_ONE, AT_TWO = f"{ONE} abc", f"{TWO}/api/v2/metrics/ingest abc"


def test_endpoint_of_the_file(platform: Platform) -> None:
    """From the start, batches go to the endpoint in the file with its token."""
    platform.write(ONE)
    assert platform.after(0, platform.exporter()) == AT_ONE
    assert platform.changes == 0


def test_no_file(platform: Platform) -> None:
    """Without a file, and with one that names no endpoint, the fallback exports."""
    exporter = platform.exporter()
    assert platform.after(60, exporter) == "local"
    platform.path.write_text("other = 1\n\n", "utf-8")
    assert [platform.after(60, exporter) for _ in range(3)] == ["local"] * 3


def test_file_comes_late(platform: Platform) -> None:
    """A file that appears is used once two checks have read the same text."""
    exporter = platform.exporter()
    platform.write(TWO)
    destinations = [platform.after(seconds, exporter) for seconds in (59, 1, 0.5, 0.5)]
    assert destinations == ["local", "local", "local", AT_TWO]
    assert platform.changes == 1


def test_file_changes(platform: Platform) -> None:
    """A new URL and a rotated token are used, and the old exporter is closed."""
    platform.write(ONE)
    exporter = platform.exporter()
    platform.write(ONE, "rotated")
    assert [platform.after(s, exporter) for s in (60, 1)] == [AT_ONE, f"{ONE} rotated"]
    assert f"close {AT_ONE}" in platform.calls
    platform.write(TWO)
    assert [platform.after(s, exporter) for s in (60, 1)][-1] == AT_TWO
    assert platform.changes == 2


def test_token_is_revoked(platform: Platform) -> None:
    """A token that the endpoint refuses makes the exporter check the file at once."""
    platform.revoked_token = "abc"
    platform.write(ONE)
    exporter = platform.exporter()
    result = exporter.export(BATCH, 1.0)
    assert (result.outcome, result.retry_after) == (Outcome.MISCONFIGURED, None)
    platform.write(ONE, "rotated")
    for _ in range(2):  # the first time it may be half-written
        result = exporter.export(BATCH, 1.0)
        assert (result.outcome, result.retry_after) == (Outcome.RETRY, 1.0)
    assert exporter.export(BATCH, 1.0).outcome is Outcome.ANSWERED
    assert platform.changes == 1


def test_file_that_is_being_written(platform: Platform) -> None:
    """A file that differs at each check is not used before it settles."""
    platform.write(ONE)
    exporter = platform.exporter()
    for half in ("DT_METRICS", "DT_METRICS_INGEST_URL=https://two.exam"):
        platform.path.write_text(half, "utf-8")
        assert platform.after(60, exporter) == AT_ONE
    platform.write(TWO)
    assert [platform.after(1, exporter) for _ in range(2)] == [AT_ONE, AT_TWO]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DT_METRICS_INGEST_API_TOKEN=x\n",
        "DT_METRICS_INGEST_URL=\n",
        "DT_METRICS_INGEST_URL=nonsense\nDT_METRICS_INGEST_API_TOKEN=x\n",
        "DT_METRICS_INGEST_URL=https://two.example\n",
        "DT_METRICS_INGEST_URL=http://two.example\nDT_METRICS_INGEST_API_TOKEN=x\n",
        f"DT_METRICS_INGEST_URL=https://two.example\n"
        f"DT_METRICS_INGEST_API_TOKEN={TOKEN}\x7f\n",
    ],
    ids=[
        "empty",
        "no url",
        "no value",
        "no URL",
        "no token",
        "plain http",
        "bad token",
    ],
)
def test_unusable_content(
    platform: Platform, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """Content that cannot be used changes nothing, and its token is not logged."""
    platform.write(ONE)
    exporter = platform.exporter()
    platform.path.write_text(text, "utf-8")
    assert {platform.after(s, exporter) for s in (60, 1, 60)} == {AT_ONE}
    assert "CANARY" not in caplog.text
    platform.path.unlink()
    assert {platform.after(s, exporter) for s in (60, 1, 60)} == {AT_ONE}


def test_logged_once(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    """Content that cannot be used is logged once."""
    platform.write("http://two.example")
    exporter = platform.exporter()
    for _ in range(5):
        platform.after(60, exporter)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    path = platform.path
    assert record.getMessage() == (
        f"dtmetrics: the endpoint in {path} cannot be used: DT_METRICS_INGEST_URL must "
        "begin with https:// to encrypt the token on its way to 'two.example', unless "
        "allow_plain_http=True, got 'http://two.example/api/v2/metrics/ingest'"
    )


def test_closes_and_forks(platform: Platform) -> None:
    """Closing and forking reach the exporter in use."""
    platform.write(ONE)
    exporter = platform.exporter()
    exporter.close()
    exporter.reset_after_fork()
    assert platform.calls[-2:] == [f"close {AT_ONE}", f"fork {AT_ONE}"]


@pytest.fixture
def runtime(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return a process that reads the files of that platform."""
    directory = str(platform.path.parents[1])
    monkeypatch.setattr(
        "dtmetrics._config.environment.platform_directory", lambda _: directory
    )
    made = Runtime()
    yield made
    made.shutdown(0.1)


def test_configured_by_file(platform: Platform, runtime: Runtime) -> None:
    """Without any setting, points go to the endpoint in the file."""
    with Endpoint() as endpoint:
        platform.write(endpoint.url, f"{TOKEN}\r")
        runtime.configure(interval=None)
        runtime.meters.root.counter("orders").inc()
        assert runtime.shutdown()
    [request] = endpoint.requests
    assert request.headers["authorization"] == f"Api-Token {TOKEN}"


def test_settings_win(platform: Platform, runtime: Runtime) -> None:
    """An endpoint or a token that is set wins over the one in the file."""
    with ExitStack() as stack:
        configured, in_file = (stack.enter_context(Endpoint()) for _ in range(2))
        platform.write(in_file.url, "file")
        runtime.configure(endpoint=configured.url, interval=None)
        runtime.meters.root.counter("orders").inc()
        assert runtime.flush()
        runtime.configure(token="argument", interval=None, force=True)
        runtime.meters.root.counter("orders").inc()
        assert runtime.shutdown()
    assert [len(each.requests) for each in (configured, in_file)] == [1, 1]
    assert in_file.requests[0].headers["authorization"] == "Api-Token argument"


def test_replaced_settings(platform: Platform, runtime: Runtime) -> None:
    """What waits for the endpoint in the file goes on waiting when settings change."""
    with Endpoint(answer(401)) as endpoint:
        platform.write(endpoint.url, "first")
        runtime.configure(interval=None)
        runtime.meters.root.counter("orders").inc()
        assert not runtime.flush()
        platform.write(endpoint.url, "second")
        runtime.configure(interval=None, force=True, level="WARNING")
        assert runtime.stats().waiting > 0
        assert runtime.flush()
        assert endpoint.total("orders") == 1
    authorized = [each.headers["authorization"] for each in endpoint.requests]
    assert {*authorized} == {"Api-Token first", "Api-Token second"}


@needs_flock
def test_spool_of_another_environment(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches spooled for one environment are not sent to another that shares the disk."""
    directory = str(platform.path.parents[1])
    monkeypatch.setattr(
        "dtmetrics._config.environment.platform_directory", lambda _: directory
    )
    down = answer(503)
    with ExitStack() as stack:
        one = stack.enter_context(Endpoint(otherwise=down))
        two = stack.enter_context(Endpoint())
        for url in (one.url, two.url, one.url):
            platform.write(url, TOKEN)
            made = Runtime()
            made.configure(interval=None, spool=tmp_path / "spool")
            made.meters.root.counter("orders").inc()
            made.shutdown(1.0)
            one._otherwise = accept()
        assert (one.total("orders"), two.total("orders")) == (2, 1)


def test_change_while_running(
    platform: Platform, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of the file, the new endpoint gets the metadata of every key again."""
    for name in ("_CHECK_SECONDS", "_RECHECK_SECONDS"):
        monkeypatch.setattr(f"dtmetrics._config.platform_files.{name}", 0.0)
    orders = runtime.meters.root.counter("orders", unit="{order}")
    with ExitStack() as stack:
        one, two = (stack.enter_context(Endpoint()) for _ in range(2))
        platform.write(one.url, "first")
        runtime.configure(interval=None)
        for _ in range(2):
            orders.inc()
            assert runtime.flush()
        platform.write(two.url, "second")
        for _ in range(3):
            orders.inc()
            assert runtime.flush()
    metadata = "#orders count dt.meta.unit=Count"
    assert [one.lines.count(metadata), two.lines.count(metadata)] == [1, 1]
    assert one.total("orders") + two.total("orders") == 5
    sent = [[r.headers["authorization"] for r in each.requests] for each in (one, two)]
    assert [set(each) for each in sent] == [{"Api-Token first"}, {"Api-Token second"}]

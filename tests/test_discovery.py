from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.discovery import FollowingExporter, path_in
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Process
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import Endpoint, accept, answer
from tests.support.recorder import MOMENT

TOKEN = "dt0c01.CANARY.secret"
BODY = Batch(b"a count,delta=1", (), MOMENT)


class Place:
    """An exporter that notes what it is asked."""

    def __init__(self, name: str, asked: list[str], refused: str = "") -> None:
        self.name = name
        self.asked = asked
        self.refused = refused

    def export(self, body: Batch, timeout: float) -> ExportResult:
        self.asked.append(self.name)
        known = not self.refused or self.refused not in self.name
        return ExportResult(Outcome.ANSWERED if known else Outcome.MISCONFIGURED)

    def close(self) -> None:
        self.asked.append(f"close {self.name}")

    def reset_after_fork(self) -> None:
        self.asked.append(f"fork {self.name}")


class Platform:
    """The operator's file, an exporter that follows it, and a clock."""

    def __init__(self, directory: Path) -> None:
        self.path = Path(path_in(str(directory)))
        self.path.parent.mkdir()
        self.now = 0.0
        self.asked: list[str] = []
        self.refused = ""  # a token that is no longer known
        self.moves = 0

    def says(self, url: str, token: str | None = "abc", *, more: str = "") -> None:
        """Write the file as the operator does."""
        lines = f"DT_METRICS_INGEST_URL={url}\nDT_FUTURE_VALUE=1\n"
        if token is not None:
            lines += f"DT_METRICS_INGEST_API_TOKEN={token}\n"
        self.path.write_text(lines + more, "utf-8")

    def follow(self) -> FollowingExporter:
        """Return an exporter that follows the file."""

        def make(endpoint: Secret, token: Secret) -> Any:
            config = Config().at(endpoint, token)
            name = f"{config.endpoint} {config.token.reveal()}"
            return Place(name, self.asked, self.refused)

        def move() -> None:
            self.moves += 1

        here = Place("here", self.asked)
        return FollowingExporter(str(self.path), make, here, move, lambda: self.now)

    def after(self, seconds: float, exporter: FollowingExporter) -> str:
        """Export once, so much later; return where to."""
        self.now += seconds
        exporter.export(BODY, 1.0)
        return self.asked[-1]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """Return a platform of its own."""
    return Platform(tmp_path)


ONE, TWO = "https://one.example/api/v2/metrics/ingest", "https://two.example/e/x"
AT_ONE, AT_TWO = f"{ONE} abc", f"{TWO}/api/v2/metrics/ingest abc"


def test_follows(platform: Platform) -> None:
    """From the start bodies go to where the file says, with its token."""
    platform.says(ONE)
    assert platform.after(0, platform.follow()) == AT_ONE
    assert platform.moves == 0


def test_no_file(platform: Platform) -> None:
    """Without a file, and with one that says nothing, they go where they went."""
    exporter = platform.follow()
    assert platform.after(60, exporter) == "here"
    platform.path.write_text("other = 1\n\n", "utf-8")
    assert [platform.after(60, exporter) for _ in range(3)] == ["here"] * 3


def test_file_comes_late(platform: Platform) -> None:
    """A file that appears is followed once it has looked the same twice."""
    exporter = platform.follow()
    platform.says(TWO)
    where = [platform.after(seconds, exporter) for seconds in (59, 1, 0.5, 0.5)]
    assert where == ["here", "here", "here", AT_TWO]
    assert platform.moves == 1


def test_file_changes(platform: Platform) -> None:
    """A new URL and a rotated token are followed, and the old connection is closed."""
    platform.says(ONE)
    exporter = platform.follow()
    platform.says(ONE, "rotated")
    assert [platform.after(s, exporter) for s in (60, 1)] == [AT_ONE, f"{ONE} rotated"]
    assert f"close {AT_ONE}" in platform.asked
    platform.says(TWO)
    assert [platform.after(s, exporter) for s in (60, 1)][-1] == AT_TWO
    assert platform.moves == 2


def test_token_is_refused(platform: Platform) -> None:
    """A token that is refused lets it look at once, and try the new one soon."""
    platform.refused = "abc"
    platform.says(ONE)
    exporter = platform.follow()
    refused = exporter.export(BODY, 1.0)
    assert (refused.outcome, refused.retry_after) == (Outcome.MISCONFIGURED, None)
    platform.says(ONE, "rotated")
    for _ in range(2):  # half written, perhaps; and the same again
        refused = exporter.export(BODY, 1.0)
        assert (refused.outcome, refused.retry_after) == (Outcome.RETRY, 1.0)
    assert exporter.export(BODY, 1.0).outcome is Outcome.ANSWERED
    assert platform.moves == 1


def test_file_that_is_being_written(platform: Platform) -> None:
    """A file that looks different each time is not followed before it settles."""
    platform.says(ONE)
    exporter = platform.follow()
    for half in ("DT_METRICS", "DT_METRICS_INGEST_URL=https://two.exam"):
        platform.path.write_text(half, "utf-8")
        assert platform.after(60, exporter) == AT_ONE
    platform.says(TWO)
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
def test_what_cannot_be_used(
    platform: Platform, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """What cannot work changes nothing, and is said without the token."""
    platform.says(ONE)
    exporter = platform.follow()
    platform.path.write_text(text, "utf-8")
    assert {platform.after(s, exporter) for s in (60, 1, 60)} == {AT_ONE}
    assert "CANARY" not in caplog.text
    platform.path.unlink()
    assert {platform.after(s, exporter) for s in (60, 1, 60)} == {AT_ONE}


def test_said_once(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be followed is said once for each content."""
    platform.says("http://two.example")
    exporter = platform.follow()
    for _ in range(5):
        platform.after(60, exporter)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "cannot be followed" in record.getMessage()


def test_closes_and_forks(platform: Platform) -> None:
    """What is let go of, is let go of where bodies go now."""
    platform.says(ONE)
    exporter = platform.follow()
    exporter.close()
    exporter.reset_after_fork()
    assert platform.asked[-2:] == [f"close {AT_ONE}", f"fork {AT_ONE}"]


@pytest.fixture
def process(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """Return a process on that platform."""
    directory = str(platform.path.parents[1])
    monkeypatch.setattr("dtmetrics._config.config.directory_of", lambda _: directory)
    made = Process()
    yield made
    made.shutdown(0.1)


def test_configured_by_file(platform: Platform, process: Process) -> None:
    """Without any setting, what is recorded goes to where the file says."""
    with Endpoint() as endpoint:
        platform.says(endpoint.url, f"{TOKEN}\r")
        process.configure(interval=None)
        process.meters.root.counter("orders").inc()
        assert process.shutdown()
    [request] = endpoint.requests
    assert request.headers["authorization"] == f"Api-Token {TOKEN}"


def test_settings_win(platform: Platform, process: Process) -> None:
    """An endpoint that is set is not replaced by the file's, nor is a token."""
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(Endpoint()) for _ in range(2))
        platform.says(theirs.url, "theirs")
        process.configure(endpoint=ours.url, interval=None)
        process.meters.root.counter("orders").inc()
        assert process.flush()
        process.configure(token="ours", interval=None, force=True)
        process.meters.root.counter("orders").inc()
        assert process.shutdown()
    assert [len(each.requests) for each in (ours, theirs)] == [1, 1]
    assert theirs.requests[0].headers["authorization"] == "Api-Token ours"


def test_spool_of_another_environment(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept for one environment is given to no other that shares the disk."""
    directory = str(platform.path.parents[1])
    monkeypatch.setattr("dtmetrics._config.config.directory_of", lambda _: directory)
    down = answer(503)
    with ExitStack() as stack:
        one = stack.enter_context(Endpoint(otherwise=down))
        two = stack.enter_context(Endpoint())
        for url in (one.url, two.url, one.url):
            platform.says(url, TOKEN)
            made = Process()
            made.configure(interval=None, spool=tmp_path / "spool")
            made.meters.root.counter("orders").inc()
            made.shutdown(1.0)
            one._otherwise = accept()
        assert (one.total("orders"), two.total("orders")) == (2, 1)


def test_moves_by_itself(
    platform: Platform, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes leads to another endpoint, which is told every meaning."""
    for name in ("_LOOK_SECONDS", "_LOOK_AGAIN_SECONDS"):
        monkeypatch.setattr(f"dtmetrics._config.discovery.{name}", 0.0)
    orders = process.meters.root.counter("orders", unit="{order}")
    with ExitStack() as stack:
        one, two = (stack.enter_context(Endpoint()) for _ in range(2))
        platform.says(one.url, "first")
        process.configure(interval=None)
        for _ in range(2):
            orders.inc()
            assert process.flush()
        platform.says(two.url, "second")
        for _ in range(3):
            orders.inc()
            assert process.flush()
    meaning = "#orders count dt.meta.unit=Count"
    assert [one.lines.count(meaning), two.lines.count(meaning)] == [1, 1]
    assert one.total("orders") + two.total("orders") == 5
    sent = [[r.headers["authorization"] for r in each.requests] for each in (one, two)]
    assert [set(each) for each in sent] == [{"Api-Token first"}, {"Api-Token second"}]

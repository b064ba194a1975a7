"""What the endpoint answers: to a request without lines, and to a test line."""

from __future__ import annotations

from collections.abc import Iterator

from dtmetrics._config.config import Config
from dtmetrics._deliver.safe_exporter import PROBE
from dtmetrics._doctor.finding import Finding, Status, ok, skipped
from dtmetrics._export.causes import CLOCK, explain_clock, recognize
from dtmetrics._runtime.factories import make_exporter
from dtmetrics._runtime.line_sender import send_lines
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["answer_findings", "send_test_line"]

_SECONDS = 5.0
# Without a line there is nothing to accept: Dynatrace answers 400 "empty request".
_TAKES_THE_TOKEN = Outcome.ANSWERED, Outcome.MALFORMED


def answer_findings(config: Config) -> Iterator[Finding]:
    """Post a request without lines; yield what it shows of token, scope and clock.

    An endpoint checks the token and its scope before the lines.
    """
    exporter = make_exporter(config)
    result = exporter.export(Batch(b"", (), 0), _SECONDS)
    exporter.close()
    if result.outcome in _TAKES_THE_TOKEN:
        has_token = config.token or config.token_file
        has = "and takes the token with its scope" if has_token else "without a token"
        yield ok("answer", f"the metrics API answers {has}")
    else:
        yield _refused("answer", result.reason)
    yield _clock(result)


def send_test_line(config: Config) -> Finding:
    """Send the test line; return the verdict."""
    verdict = send_lines(config, [PROBE])
    if verdict.ok:
        return ok(
            "test line",
            f"{verdict.destination} accepted {PROBE.decode().split(',')[0]}",
        )
    return _refused("test line", "; ".join(verdict.sentences()[1:]))


def _refused(check: str, reason: str) -> Finding:
    cause = recognize(reason)
    if cause is None:
        return Finding(check, Status.PROBLEM, reason)
    text = reason.removesuffix(f"; {cause.remedy}")
    return Finding(check, Status.PROBLEM, text, cause.remedy, cause.id)


def _clock(result: ExportResult) -> Finding:
    if not result.clock_ahead:
        return skipped("clock", "the answer has no date")
    seconds = round(result.clock_ahead)
    if explained := explain_clock(result.clock_ahead):
        sentence = explained.partition("; ")[0]
        return Finding(
            "clock",
            Status.PROBLEM,
            sentence,
            CLOCK.remedy,
            CLOCK.id,
            {"ahead_seconds": seconds},
        )
    text = f"differs from that of the endpoint by {abs(seconds)} s"
    return ok("clock", text, ahead_seconds=seconds)

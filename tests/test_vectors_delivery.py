"""The official clients' tests of answers, retries and batches, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from dtmetrics._export.http import HttpExporter
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome
from tests.support.delivery_rig import Sending
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    accept,
    answer,
    partly,
    refusing_port,
)
from tests.support.exporter_contract import a_batch
from tests.support.vectors import (
    Case,
    Difference,
    agree,
    agree_in_part,
    differ,
    vectors,
)

UNTOUCHED = {"calls": 1, "ok": 0, "dropped": 0, "waiting": 3}


differ(
    Difference(
        "a 200 without a verdict is another server's page: nothing was taken",
        "rs-005",
        lambda inputs: {"treated_as": "misconfigured"},
    ),
    Difference(
        "no number of attempts drops a batch: it waits for 55 minutes",
        "rs-046 rs-053",
        lambda inputs: {"calls": 4, "dropped": 0, "waiting": 3},
    ),
    Difference(
        "Retry-After is exceeded by up to a fifth, so processes come back apart",
        "rs-047",
        lambda inputs: {"calls": 2, "sleeps": [2.5 * 1.2]},
    ),
    Difference(
        "Retry-After is respected up to five minutes",
        "rs-048",
        lambda inputs: {"calls": 2, "sleeps": [60 * 1.2]},
    ),
    Difference(
        "a token may be renewed, a module switched on: batches wait for it",
        "rs-049 rs-050 rs-051",
        lambda inputs: UNTOUCHED,
    ),
    Difference(
        "after an unknown outcome a probe is sent before the batch",
        "rs-045",
        lambda inputs: {"calls": 3, "ok": 3},
    ),
    Difference(
        "a batch that is too large is sent in parts",
        "rs-061",
        lambda inputs: {"permanent": False, "disabled": False},
    ),
    Difference(
        "after such an answer batches are retried",
        "rs-060 rs-062",
        lambda inputs: {"permanent": False, "disabled": False},
    ),
)


# -- answers ------------------------------------------------------------------------


@vectors("response", "parse")
def test_answers(case: Case) -> None:
    """A result holds how many lines were rejected, which, and why."""
    inputs, theirs = case["input"], case["expected"]
    lines = theirs.get("lines_ok", 1) + theirs.get("lines_invalid", 0) or 1
    batch = a_batch(*["a count,delta=1"] * lines)
    with Endpoint(answer(inputs["status"], inputs["body"])) as endpoint:
        exporter = HttpExporter(endpoint.url)
        result = exporter.export(batch, 5.0)
        exporter.close()
    answered = result.outcome is Outcome.ANSWERED
    facts = {
        "lines_ok": lines - result.rejected if answered else 0,
        "lines_invalid": result.rejected,
        "invalid_lines": [[n + 1, text] for n, text in result.rejected_lines],
        "warnings": [[n + 1, text] for n, text in result.warnings],
        "treated_as": "ok" if answered else result.outcome.value,
    }
    # Codes and messages around the lists repeat their numbers.
    agree_in_part(case, facts, {name: theirs[name] for name in facts & theirs.keys()})


class InTurn:
    """An exporter that hands each batch to the next of several exporters."""

    def __init__(self, exporters: list[Exporter]) -> None:
        self.exporters = exporters
        self.calls = 0

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        exporter = self.exporters[min(self.calls, len(self.exporters) - 1)]
        self.calls += 1
        return exporter.export(batch, timeout)


@vectors("response", "retry_sequence")
def test_retries(case: Case) -> None:
    """A batch that was not taken is sent again after a pause, an accepted one is not."""
    responses = case["input"]["responses"]
    lines = case["input"]["lines"]
    with Endpoint(
        *[verdict_of(r, lines) for r in responses if r != UNREACHABLE]
    ) as endpoint:
        there = HttpExporter(endpoint.url)
        unreachable = HttpExporter(f"http://127.0.0.1:{refusing_port()}")
        sending = Sending(chance=lambda: 1.0)  # the longest pauses there are
        turns = InTurn(
            [unreachable if each == UNREACHABLE else there for each in responses]
        )
        sending.exporter.export = turns.export  # type: ignore[method-assign]
        sending.put(*["a"] * lines)
        pauses = []
        while not sending.send(60.0) and turns.calls < len(responses):
            pauses.append(sending.pause)
            sending.now += sending.pause
        there.close()
    account = sending.outbox.account()
    facts = {
        "calls": turns.calls,
        "sleeps": pauses,
        "ok": account.accepted,
        "dropped": sum(account.dropped.values()),
        "waiting": account.waiting,
    }
    agree_in_part(case, facts, case["expected"])


UNREACHABLE = "ConnectionError"


def verdict_of(response: Any, lines: int) -> Verdict:
    """Return how an endpoint answers so; a 200 gets the verdict of a real one."""
    if isinstance(response, dict):
        pause = f"Retry-After: {response['Retry-After']}"
        return answer(response["status"], headers=[pause])
    verdict = {"linesOk": lines, "linesInvalid": 0}
    return answer(200, verdict, accepted=True) if response == 200 else answer(response)


# -- batches ------------------------------------------------------------------------


def sent(runtime: Runtime, lines: int, *script: Verdict, **settings: Any) -> list[int]:
    """Flush so many lines to an endpoint; return how many came in each request."""
    with Endpoint(*script) as endpoint:
        runtime.configure(
            endpoint=endpoint.url, interval=None, enrich=False, metadata=False
        )
        for number in range(lines):
            runtime.meters.root.counter("a").inc(1, n=number)
        runtime.flush()
        runtime.shutdown(0.0)
    return [len(request.lines) for request in endpoint.requests]


@vectors("response", "batching")
def test_batches(case: Case, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are sent in as few requests as the limit allows, until one fails."""
    inputs = case["input"]
    limit, responses = inputs.get("batch", 1_000), inputs.get("responses", ())
    monkeypatch.setattr("dtmetrics._deliver.batching.LINES_LIMIT", limit)
    script = [verdict_of(each, limit) for each in responses]
    requests = sent(runtime, inputs["lines"], *script)
    facts = {"requests": len(requests), "ok": runtime.stats().accepted}
    agree_in_part(case, facts, case["expected"])


@vectors("response", "collector_behaviour")
def test_like_the_collector(case: Case, runtime: Runtime) -> None:
    """The collector's exporter would send and drop the same."""
    inputs = case["input"]
    if "lines" in inputs:
        requests = sent(runtime, inputs["lines"], *[partly(0, 1)] * 2)
        rejected = runtime.stats().rejected
        agree_in_part(
            case,
            {"requests": len(requests), "invalid_sum": rejected},
            case["expected"],
        )
        return
    with Endpoint(answer(inputs["status"], inputs["body"]), accept()) as endpoint:
        exporter = HttpExporter(endpoint.url)
        sending = Sending()
        sending.exporter.export = exporter.export  # type: ignore[method-assign]
        sending.put(*["a"] * 10)
        sending.send()
        account = sending.outbox.account()
        sending.put("b")
        sending.send()
        exporter.close()
    facts = {
        "invalid": account.rejected,
        "permanent": bool(account.dropped),
        "disabled": len(endpoint.requests) == 1,
    }
    agree_in_part(case, facts, case["expected"])


@vectors("response", "sum_invalid")
def test_sum(case: Case, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected lines are summed up over all answers."""
    monkeypatch.setattr("dtmetrics._deliver.batching.LINES_LIMIT", 2)
    sent(runtime, 4, *(answer(400, each) for each in case["input"]))
    message = f"{runtime.stats().rejected} invalid metric lines found"
    agree(case, {"message": message}, case["expected"])

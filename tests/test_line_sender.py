from __future__ import annotations

from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.line_sender import LineVerdict, send_lines
from tests.support.endpoint import Endpoint, Verdict, answer

UNREADABLE = {"error": {"code": 400, "message": "unreadable"}}


def sent(lines: list[str], *script: Verdict) -> tuple[LineVerdict, list[int]]:
    """Send *lines* to an endpoint; return the verdict, and the lines of each request."""
    with Endpoint(*script) as endpoint:
        config = Config.resolve({"endpoint": Secret(endpoint.url)}, {})
        verdict = send_lines(config, [line.encode() for line in lines])
    return verdict, [len(request.lines) for request in endpoint.requests]


def test_batches() -> None:
    """A request has at most 1,000 lines and 950,000 bytes."""
    verdict, sizes = sent([f"a{n} 1" for n in range(2_500)])
    assert (verdict.accepted, verdict.ok, sizes) == (2_500, True, [1_000, 1_000, 500])
    verdict, sizes = sent(["a" * 400_000] * 5)
    assert (verdict.accepted, sizes) == (5, [2, 2, 1])


def test_halves() -> None:
    """A batch that is too large, or unreadable for one line, is sent in halves."""
    verdict, sizes = sent(
        ["a" * 2_000] * 4, answer(413), answer(202), answer(400, UNREADABLE)
    )
    assert sizes == [4, 2, 2, 1, 1]
    assert (verdict.accepted, verdict.undelivered) == (4, 0)
    verdict, sizes = sent(["a" * 2_000], answer(413))
    assert sizes == [1]
    assert "the request is too large" in verdict.sentences()[-1]


def test_failure_ends_the_sending() -> None:
    """After a batch that was not delivered no other is sent, and all are counted."""
    verdict, sizes = sent(["a 1"] * 2_500, answer(202), answer(503))
    assert sizes == [1_000, 1_000]
    assert (verdict.accepted, verdict.undelivered, verdict.ok) == (1_000, 1_500, False)
    first, reason = verdict.sentences()
    assert first.endswith("1000 lines accepted, 1500 lines not delivered")
    assert "status 503 at " in reason


def test_nothing() -> None:
    """Without a line there is no request, and the verdict has a sentence on it."""
    verdict, sizes = sent(["", "  "])
    assert (verdict.ok, sizes) == (True, [])
    [sentence] = verdict.sentences()
    assert sentence.endswith(": no lines")

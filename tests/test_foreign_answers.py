"""Whole flushes to servers that are not Dynatrace: nothing that was recorded is lost."""

from __future__ import annotations

import pytest

from dtmetrics import configure, counter, flush, gauge, shutdown, stats
from tests.support.endpoint import Endpoint, Verdict, answer

PAGE = b"<html><title>400 Bad Request</title><body>nginx CANARY</body></html>"


@pytest.mark.parametrize(
    "verdict",
    [
        *(answer(400, body) for body in (PAGE, b"", b"Bad Request", b'{"status":400}')),
        *(answer(status, PAGE) for status in (200, 302, 402, *range(404, 412))),
        *(answer(status) for status in (413, 414, 415, 421, 423, 426, 431, 451, 499)),
    ],
)
def test_nothing_is_lost(verdict: Verdict, caplog: pytest.LogCaptureFixture) -> None:
    """2,000 points wait through three flushes, and arrive once the endpoint is right."""
    with Endpoint(otherwise=verdict) as wrong:
        configure(endpoint=wrong.url, interval=None, metadata=False, self_metrics=False)
        size = gauge("queue.size")
        for number in range(2_000):
            size.set(number, item=number)
        counter("orders").inc(3)
        for _ in range(3):
            assert not flush(10.0)
        assert stats().waiting == stats().collected > 2_000
        assert stats().dropped == {}
        # A flush stops at the first such answer. Only a 413 is tried in halves.
        assert len(wrong.requests) <= 16
    assert "CANARY" not in caplog.text + stats().last_error
    shutdown(0.1)


def test_arrives_later() -> None:
    """What waited through the answers of a foreign server arrives exactly once."""
    script = [answer(400, PAGE), answer(404), answer(499), answer(502), answer(407)]
    with Endpoint(*script) as endpoint:
        configure(
            endpoint=endpoint.url, interval=None, metadata=False, self_metrics=False
        )
        for _ in range(8):
            counter("orders").inc()
            flush()
        assert shutdown()
        assert endpoint.total("orders") == 8
    assert stats().dropped == {}

from __future__ import annotations

import pytest

from tests.support.responses import result_of


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 0.0),
        ("Tue, 14 Nov 2023 20:13:20 GMT", 7_200.0),
        ("Tue, 14 Nov 2023 22:43:20 GMT", -1_800.0),
        ("Tue, 14 Nov 2023 22:13:20 GMT, Tue, 14 Nov 2023 20:13:20 GMT", 7_200.0),
        ("Wed, 31 Feb 2029 00:00:00 GMT", 0.0),
        ("yesterday", 0.0),
    ],
)
def test_clock(date: str, ahead: float) -> None:
    """The date of each answer shows by how much the clock of this host is ahead."""
    for status in (202, 400, 403, 503):
        assert result_of(status, date=date).clock_ahead == ahead
    assert result_of(202, date=date, age="60").clock_ahead == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("0", 1.0),
        ("86400", 300.0),
        ("Tue, 14 Nov 2023 22:14:00 GMT", 40.0),  # NOW is 22:13:20
        ("Tue, 14 Nov 2023 22:13:00 GMT", 1.0),
        ("Tue, 14 Nov 2099 22:13:00 GMT", 300.0),
        ("Wed, 31 Feb 2029 00:00:00 GMT", None),
        ("Wed, 01 Foo 2029 00:00:00 GMT", None),
        ("Tue, 14 Nov 2023 22:14:00 +0000", None),
        ("nan", None),
        ("inf", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),  # a digit of another script
        ("7, 7", None),
        ("", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Retry-After is read as seconds or as a date, and limited to 1 to 300 s."""
    assert result_of(429, retry_after=text).retry_after == seconds
    assert result_of(503, retry_after=text).retry_after == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1700000040000000", 40.0),  # in microseconds
        ("1699999999000000", 1.0),
        ("1800000000000000", 300.0),
        ("1700000040000", None),
        ("40", None),
        ("x", None),
        ("", None),
    ],
)
def test_rate_limit_reset(reset: str, seconds: float | None) -> None:
    """X-RateLimit-Reset names the time where there is no Retry-After."""
    assert result_of(429, x_ratelimit_reset=reset).retry_after == seconds
    assert result_of(429, x_ratelimit_reset=reset, retry_after="7").retry_after == 7.0
    assert result_of(401, x_ratelimit_reset=reset).retry_after is None


def test_moments_by_the_clock_of_the_server() -> None:
    """A moment is compared with the date of the answer, because a clock may be wrong."""
    date = "Tue, 14 Nov 2023 20:13:20 GMT"  # NOW is two hours ahead
    for later in (
        {"retry_after": "Tue, 14 Nov 2023 20:14:00 GMT"},
        {"x_ratelimit_reset": "1699992840000000"},
    ):
        assert result_of(429, date=date, **later).retry_after == 40.0

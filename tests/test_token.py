from __future__ import annotations

from collections.abc import Iterator

import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.token import (
    RenewedToken,
    Token,
    TokenExporter,
    TokenUnavailableError,
)
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome
from tests.support.endpoint import Endpoint, accept, answer
from tests.support.exporter_contract import ExporterContract, a_batch
from tests.support.timer_clock import Clock


class Source:
    """Returns the values of a script, or raises them, and then the last one again."""

    def __init__(self, *values: str | Exception) -> None:
        self.values = list(values)
        self.calls = 0

    def __call__(self) -> Secret:
        self.calls += 1
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if isinstance(value, Exception):
            raise value
        return Secret(value)


class Scripted:
    """An exporter that rejects its token or returns an outcome, after some seconds."""

    destination = "ag.example:9999"

    def __init__(self, clock: Clock, token: Token, *script: Outcome | int) -> None:
        self.clock, self.token, self.script = clock, token, list(script)
        self.timeouts: list[float] = []
        self.tokens: list[str] = []
        self.calls: list[str] = []

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        self.timeouts.append(timeout)
        self.tokens.append(self.token.secret.reveal())
        outcome = self.script.pop(0)
        if isinstance(outcome, Outcome):
            return ExportResult(outcome)
        self.clock.now += outcome
        self.token.reject()
        return ExportResult(Outcome.MISCONFIGURED, reason="status 401")

    def close(self) -> None:
        self.calls.append("close")

    def reset_after_fork(self) -> None:
        self.calls.append("reset_after_fork")


def exporter_with(
    source: Source, *script: Outcome | int
) -> tuple[TokenExporter, Scripted, Clock]:
    """Return an exporter with the token of *source* around a scripted one."""
    clock = Clock(0.0)
    token = RenewedToken(source, clock)
    inner = Scripted(clock, token, *script)
    return TokenExporter(inner, token, clock), inner, clock


class TestTokenExporter(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            token = RenewedToken(Source("abc"))
            yield TokenExporter(HttpExporter(endpoint.url, token), token)


def test_read_each_minute() -> None:
    """The token is read before the first request, and then once a minute."""
    source = Source("one", "two", "three")
    exporter, inner, clock = exporter_with(source, *[Outcome.ANSWERED] * 5)
    for at in (0.0, 10.0, 59.9, 60.0, 119.0):
        clock.now = at
        exporter.export(a_batch(), 5.0)
    assert inner.tokens == ["one", "one", "one", "two", "two"]
    assert source.calls == 2


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_token_is_replaced(status: int) -> None:
    """After a 401 or 403 the token is read at once, and the batch goes with the new one."""
    with Endpoint(answer(status), accept()) as endpoint:
        token = RenewedToken(Source("old", "new"))
        exporter = TokenExporter(HttpExporter(endpoint.url, token), token)
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    sent = [request.headers["authorization"] for request in endpoint.requests]
    assert sent == ["Api-Token old", "Api-Token new"]


@pytest.mark.parametrize("status", [400, 404, 407, 429, 500])
def test_other_statuses_do_not_read_it(status: int) -> None:
    """No other status than 401 and 403 is a reason to read the token again."""
    source = Source("abc")
    with Endpoint(answer(status)) as endpoint:
        token = RenewedToken(source)
        exporter = TokenExporter(HttpExporter(endpoint.url, token), token)
        exporter.export(a_batch(), 5.0)
        exporter.close()
    assert source.calls == 1


def test_same_token_is_not_sent_again() -> None:
    """A rejected token that has not changed is sent once, and read before the next."""
    source = Source("old", "old", "new")
    exporter, inner, clock = exporter_with(source, 0, Outcome.ANSWERED)
    assert exporter.export(a_batch(), 5.0).reason == "status 401"
    assert (len(inner.tokens), source.calls) == (1, 2)
    clock.now = 60.0
    assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
    assert inner.tokens == ["old", "new"]


def test_second_request_gets_the_rest_of_the_time() -> None:
    """The request with the new token takes no more than the time that is left."""
    exporter, inner, _ = exporter_with(Source("old", "new"), 3, Outcome.ANSWERED)
    assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
    assert inner.timeouts == [5.0, 2.0]
    exporter, inner, _ = exporter_with(Source("old", "new"), 5)
    assert exporter.export(a_batch(), 5.0).reason == "status 401"
    assert len(inner.timeouts) == 1


ERRORS: list[tuple[Exception, str]] = [
    (KeyError("CANARY"), "token raised KeyError at test_token.py:"),
    (TokenUnavailableError("token_file must x"), "token_file must x"),
]


@pytest.mark.usefixtures("expects_errors")
@pytest.mark.parametrize(("error", "text"), ERRORS)
def test_last_token_stays(
    error: Exception, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the token cannot be read, the last one stays, and the error is logged once."""
    exporter, inner, clock = exporter_with(
        Source("abc", error, error, "new", error), *[Outcome.ANSWERED] * 5
    )
    for minute in range(4):
        clock.now = minute * 60.0
        exporter.export(a_batch(), 5.0)
    assert inner.tokens == ["abc", "abc", "abc", "new"]
    (message,) = caplog.messages
    assert message.startswith(f"dtmetrics: cannot read the token: {text}")
    assert message.endswith("; the last one stays in use")
    clock.now = 240.0
    exporter.export(a_batch(), 5.0)
    assert len(caplog.messages) == 2
    assert "CANARY" not in caplog.text


@pytest.mark.usefixtures("expects_errors")
def test_no_token_yet(caplog: pytest.LogCaptureFixture) -> None:
    """Before the first token nothing is sent; it is read again at each attempt."""
    source = Source(OSError("CANARY"), OSError("CANARY"), "abc")
    exporter, inner, _ = exporter_with(source, Outcome.ANSWERED)
    for _ in range(2):
        result = exporter.export(a_batch(), 5.0)
        assert result.outcome is Outcome.RETRY
        assert result.reason.startswith("token raised OSError at test_token.py:")
    assert inner.tokens == []
    assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
    assert len(caplog.messages) == 1


def test_other_methods() -> None:
    """Every other call of an exporter reaches the one that sends."""
    exporter, inner, _ = exporter_with(Source("abc"))
    exporter.close()
    exporter.reset_after_fork()
    assert inner.calls == ["close", "reset_after_fork"]
    assert exporter.destination == "ag.example:9999"


def test_fixed_token() -> None:
    """A token that stays the same is sent again, whatever the endpoint answered."""
    token = Token(Secret("abc"))
    token.reject()
    assert token.secret.reveal() == "abc"

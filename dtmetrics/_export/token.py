"""The token of the next request, and the exporter that replaces a rejected one."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

from dtmetrics._core import log
from dtmetrics._core.error_place import kind_and_place
from dtmetrics._core.secret import Secret
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = ["RenewedToken", "Token", "TokenExporter", "TokenUnavailableError"]

_READ_SECONDS = 60.0

# Below that no request has a chance.
_LEAST_SECONDS = 0.05


class TokenUnavailableError(Exception):
    """There is no valid token at its source. Its text may be logged."""


class Token:
    """A token that stays the same."""

    def __init__(self, secret: Secret) -> None:
        self.secret = secret

    def reject(self) -> None:
        """Note that the endpoint rejected the token. Any thread may call it."""


class RenewedToken(Token):
    """The token that *read* returns, read again after a minute and after a rejection.

    An error of *read* is logged once, and the last token stays in use. The text of an
    error is logged only if it is a TokenUnavailableError: another may hold a token.
    """

    def __init__(
        self, read: Callable[[], Secret], clock: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(Secret(""))
        #: Why the last read has failed, or empty.
        self.problem = ""
        self._read = read
        self._clock = clock
        self._read_at = -math.inf
        self._rejected = False

    def reject(self) -> None:
        """Note that the endpoint rejected the token. Any thread may call it."""
        self._rejected = True

    def refresh(self) -> None:
        """Read the token if there is none, or if the last read was a minute ago."""
        if not self.secret or self._clock() >= self._read_at + _READ_SECONDS:
            self._renew()

    def replace_rejected(self) -> bool:
        """After a rejection, read the token; return whether it is another one."""
        if not self._rejected:
            return False
        before = self.secret
        self._renew()
        return bool(self.secret.reveal() != before.reveal())

    def _renew(self) -> None:
        self._rejected = False
        self._read_at = self._clock()
        problem = ""
        try:
            self.secret = self._read()
        except TokenUnavailableError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 -- of a callable of the application
            problem = f"token raised {kind_and_place(error)}"
        if problem and problem != self.problem:
            kept = "; the last one stays in use" if self.secret else ""
            log.warning("cannot read the token: %s%s", problem, kept)
        self.problem = problem


class TokenExporter:
    """Exports with *inner*, and once more if *token* was rejected and has changed.

    It reads the token in the thread that exports: the flusher's, or that of a caller of
    ``flush()``.
    """

    def __init__(
        self,
        inner: Exporter,
        token: RenewedToken,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._inner = inner
        self._token = token
        self._clock = clock

    @property
    def destination(self) -> str:
        """The host of the endpoint, with its port."""
        return getattr(self._inner, "destination", "")

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Export *batch* with the token of this moment."""
        deadline = self._clock() + timeout
        self._token.refresh()
        if not self._token.secret:
            return ExportResult(Outcome.RETRY, reason=self._token.problem)
        result = self._inner.export(batch, deadline - self._clock())
        if self._token.replace_rejected():
            seconds = deadline - self._clock()
            if seconds > _LEAST_SECONDS:
                return self._inner.export(batch, seconds)
        return result

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def reset_after_fork(self) -> None:
        """In a forked child, drop the parent's connections."""
        self._inner.reset_after_fork()

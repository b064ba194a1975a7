"""What is logged about delivery: each change of state, and each kind of fault, once."""

from __future__ import annotations

from collections.abc import Callable

from dtmetrics._core import log
from dtmetrics._core.error_place import kind_and_place
from dtmetrics._deliver.account import Account
from dtmetrics._export.causes import explain_clock
from dtmetrics.exporters import ExportResult, Outcome

__all__ = ["DeliveryLog"]

# A bound for exporters whose reasons differ each time.
_MOST_RECORDS = 1_000


class DeliveryLog:
    """Logs the first delivery, outages with their cost, and keeps the last error.

    *account* returns the outbox's account, and *interval* is that of collections. With
    *announce* the first delivery is shown even if logging is not set up.
    """

    def __init__(
        self,
        account: Callable[[], Account],
        *,
        interval: float | None = None,
        announce: bool = False,
    ) -> None:
        self._account = account
        self._interval = interval
        self._announce = log.announce if announce else log.info
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start anew in a forked child: the outage was the parent's."""
        #: The last reason why a batch, or a line of it, was not accepted; or empty.
        self.last_error = ""
        #: Why attempts have failed since the last one that was answered.
        self.outage: set[str] = set()
        self._before = Account(0, 0, 0, {}, 0)
        self._delivered = False
        self._clock_is_wrong = False
        self._logged: set[tuple[str, str]] = set()

    def note(self, result: ExportResult) -> None:
        """Log the result of an attempt, unless it is clean or known."""
        self.last_error = reason = result.reason or "the exporter gave no reason"
        if result.outcome is Outcome.REJECTED:
            self._warn_once("the endpoint rejected a batch for good: %s", reason)
        elif result.outcome in (Outcome.TOO_LARGE, Outcome.MALFORMED):
            self._warn_once("the endpoint rejected a batch unread: %s", reason)
        elif result.outcome is not Outcome.ANSWERED:
            self._failed(reason)

    def compare_clocks(self, result: ExportResult) -> None:
        """Log that the clock of this host is wrong, once until it is right again."""
        problem = explain_clock(result.clock_ahead)
        if problem:
            reason = result.reason
            self.last_error = f"{reason}; {problem}" if reason else problem
            if not self._clock_is_wrong:
                log.warning("%s", problem)
        # An answer without a date leaves it open.
        if result.clock_ahead:
            self._clock_is_wrong = bool(problem)

    def _failed(self, reason: str) -> None:
        if not self.outage:
            self._before = self._account()
        if reason not in self.outage and len(self.outage) < _MOST_RECORDS:
            self.outage.add(reason)
            log.warning("cannot deliver, will retry: %s", reason)

    def sent(self, destination: str) -> None:
        """Log the account after sending, and once where the points arrive."""
        account = self._account()
        log.debug(
            "sent to %s; so far %d collected, %d accepted, %d rejected, %d dropped, "
            "%d waiting",
            destination,
            account.collected,
            account.accepted,
            account.rejected,
            sum(account.dropped.values()),
            account.waiting,
        )
        if account.accepted and not self._delivered:
            self._delivered = True
            when = f"every {self._interval:g} s" if self._interval else "at each flush"
            self._announce("delivering to %s %s", destination, when)

    def outage_ended(self) -> None:
        """Log that batches are answered again, and which points were dropped."""
        self.outage.clear()
        undelivered = self._account().undelivered_since(self._before)
        if undelivered:
            counts = ", ".join(f"{n} {reason}" for reason, n in undelivered.items())
            log.warning("delivering again; data points dropped meanwhile: %s", counts)
        else:
            log.warning("delivering again")

    def survived(self, error: BaseException) -> None:
        """Log an error that the flusher survived, by its class and place."""
        # Not by its text: that of a foreign error may hold what was sent.
        self.last_error = kind_and_place(error)
        self._warn_once("an error in the flusher: %s", self.last_error)

    def exporter_error(self, exporter: str, error: BaseException) -> None:
        """Log an error that *exporter* raised while it was closed."""
        self.last_error = f"the exporter {exporter} raised {kind_and_place(error)}"
        self._warn_once("%s", self.last_error)

    def _warn_once(self, text: str, reason: str) -> None:
        record = text, reason
        if record not in self._logged and len(self._logged) < _MOST_RECORDS:
            self._logged.add(record)
            log.warning(text, reason)

"""How a configuration travels with what is pickled, and arrives in another process.

A worker of joblib's loky, Dask, Ray or Spark does not run the script, and so not its
``configure()``. The settings are part of each pickle with an instrument, a meter, a
context or a decorated function, as a short text. The first one that arrives in a
process that has not called ``configure()`` configures it.

That opens no way in: a pickle can run any code, and must come from a trusted source in
any case. These settings are checked as those of ``configure()`` are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics.errors import DtmetricsError

if TYPE_CHECKING:
    from dtmetrics._config.config import Config
    from dtmetrics._record.registry import Registry

__all__ = ["Travel"]

_NOT_CONFIGURED = "the settings that arrived by a pickle are not used"
_FOR_TOKENS = (
    "; a token does not travel: set DTMETRICS_TOKEN or DTMETRICS_TOKEN_FILE in the "
    "environment of this process"
)


class Travel:
    """What this process sends to others, and what has arrived in it.

    *start* is called with a configuration that has arrived.
    """

    def __init__(self, registry: Registry, start: Callable[[Config], object]) -> None:
        self._registry = registry
        self._start = start
        #: What is part of each pickle; empty: nothing travels.
        self.sent = ""
        #: Whether this process has called ``configure()`` or ``shutdown()`` itself.
        self.decided = False
        #: What has arrived last; empty: nothing has.
        self.arrived = ""
        self._number = 0

    def depart(
        self, config: Config, arguments: Collection[str], below: Collection[str] = ()
    ) -> None:
        """Send *config*, whose *arguments* were given, from now on.

        The names *below* are of settings that count as variables.
        """
        from dtmetrics._config.travelling import encode  # noqa: PLC0415

        self.decided = True
        self._number += 1
        text = ""
        if config.travels:
            number = self._number
            text = call_safely(encode, config, arguments, number, below, default="")
        self._send(text)

    def stay(self) -> None:
        """Send nothing, and ignore what arrives."""
        self.decided = True
        self._send("")

    def is_new(self, text: str) -> bool:
        """Return whether *text* has to be looked at."""
        return not self.decided and text != self.arrived

    def arrive(self, text: str) -> None:
        """Configure this process by what has arrived; never raise.

        Of several configurations the first one stays, until a later one of a process
        that has called ``configure()`` again arrives.
        """
        if self.is_new(text):
            call_safely(self._use, text, default=None, on_error=_log_unusable)
            self.arrived = text

    def _send(self, text: str) -> None:
        self.sent = text
        self._registry.travels = bool(text)

    def _use(self, text: str) -> None:
        from dtmetrics._config.disabled import is_disabled  # noqa: PLC0415
        from dtmetrics._config.travelling import resolve  # noqa: PLC0415

        settings: dict[str, Any] = json.loads(text)
        number = int(settings["number"])
        if number <= self._number or is_disabled():
            return
        self._number = number
        if "exporter" in settings:
            log.warning(
                "%s: %s is an object of the process that it comes from; call "
                "configure(exporter=...) in this process, or configure(travels=False) "
                "in that one",
                _NOT_CONFIGURED,
                str(settings["exporter"])[:100],
            )
            return
        config = resolve(settings)
        if config.travels:  # a setting of this environment
            self._start(config)
            self._send(text)


def _log_unusable(error: Exception) -> None:
    reason = str(error) if isinstance(error, DtmetricsError) else type(error).__name__
    remedy = _FOR_TOKENS if "token must be set" in reason else ""
    log.warning("%s: %s%s", _NOT_CONFIGURED, reason, remedy)

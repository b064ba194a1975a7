"""Gauges that several clients send as one series; Dynatrace shows the average."""

from __future__ import annotations

from collections.abc import Hashable

from cachetools import LRUCache

__all__ = ["SharedGauges", "sharing_warning"]

_SERIES_LIMIT = 10_000
_CLIENTS_LIMIT = 64
# By default a client sends once a minute, and not at the same second as another one.
_SECONDS = 90.0


class SharedGauges:
    """The values of gauges by client, of the series that were sent last."""

    def __init__(self) -> None:
        #: By series and client, the time and the value; the last sender is the last.
        self._sent: LRUCache[Hashable, dict[str, tuple[float, int | float]]] = LRUCache(
            _SERIES_LIMIT
        )

    def add(self, series: Hashable, client: str, at: float, value: int | float) -> bool:
        """Note a *value*; return whether another client sends the same series.

        That is so if the client has sent it before, and another one has sent another
        value meanwhile, lately. A program that has been started again is
        another client as well, after which the earlier one sends nothing.
        """
        sent = self._sent.setdefault(series, {})
        last = next(reversed(sent), client)
        shared = False
        if client in sent and last != client:
            other_at, other_value = sent[last]
            shared = at - other_at <= _SECONDS and other_value != value
        sent.pop(client, None)
        sent[client] = at, value
        if len(sent) > _CLIENTS_LIMIT:
            del sent[next(iter(sent))]
        return shared


def sharing_warning(key: str) -> str:
    """Return what the page and the terminal show of the gauge *key*."""
    return (
        f"gauge '{key}' has different values from several processes in one series, and "
        "Dynatrace shows their average: configure(worker_dimension=True) adds a "
        "dimension that keeps them apart"
    )

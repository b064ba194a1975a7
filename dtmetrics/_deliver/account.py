"""The account: what became of all points so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["Account", "total"]


class Account(NamedTuple):
    """What became of all points so far."""

    collected: int
    accepted: int
    rejected: int
    dropped: Mapping[str, int]
    waiting: int

    @property
    def undelivered(self) -> dict[str, int]:
        """The points that will not arrive, by reason."""
        return {**self.dropped, "rejected": self.rejected}

    def undelivered_since(self, earlier: Account) -> dict[str, int]:
        """Return the points dropped or rejected since *earlier*, by reason."""
        before = earlier.undelivered
        grown = {
            reason: points - before.get(reason, 0)
            for reason, points in self.undelivered.items()
        }
        return {reason: points for reason, points in grown.items() if points > 0}


def total(accounts: Iterable[Account]) -> Account:
    """Return the sum of *accounts*, which adds up as each of them does."""
    added = list(accounts)
    dropped: Counter[str] = Counter()
    for account in added:
        dropped.update(account.dropped)
    return Account(
        sum(each.collected for each in added),
        sum(each.accepted for each in added),
        sum(each.rejected for each in added),
        dict(dropped),
        sum(each.waiting for each in added),
    )

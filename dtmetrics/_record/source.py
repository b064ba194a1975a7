"""Source: what decides whether an instrument is enabled."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Source"]


class Source(NamedTuple):
    """What decides whether an instrument is enabled, beside its dimensions."""

    #: The metric key that it was defined with, without the prefix.
    key: str
    #: The name of its meter.
    scope: str
    level: int

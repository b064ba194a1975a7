"""Every exception of dtmetrics, as a tree.

::

    DtmetricsError
    ├── ConfigError          (ValueError)  settings that cannot work, all at once
    └── DefinitionError      (ValueError)  an instrument that cannot be
        ├── InvalidKeyError                a metric key with nothing valid in it
        └── ConflictError                  one metric key, two kinds of instrument

RecordingOptions and flushing raise none of these: a value that cannot be recorded is
counted in ``stats().invalid``, and what happened to a data point is an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConfigError",
    "ConflictError",
    "DefinitionError",
    "DtmetricsError",
    "InvalidKeyError",
]


class DtmetricsError(Exception):
    """What every exception of this package is."""


class ConfigError(DtmetricsError, ValueError):
    """Settings that cannot work.

    ``problems`` holds one sentence for each fault, so that one run shows all of
    them. No sentence ever holds the token.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DefinitionError(DtmetricsError, ValueError):
    """An instrument that cannot be, raised where it is defined (``strict=True``)."""


class InvalidKeyError(DefinitionError):
    """A metric key in which no character is valid."""


class ConflictError(DefinitionError):
    """One metric key defined as two kinds of instrument."""

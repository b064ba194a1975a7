"""Every exception of dtmetrics, as a tree.

::

    DtmetricsError
    ├── ConfigError          (ValueError)  invalid settings, all reported together
    └── DefinitionError      (ValueError)  an instrument that cannot be defined
        ├── InvalidKeyError                a metric key that cannot be sent
        ├── ConflictError                  one metric key, two definitions that differ
        ├── DecoratorOrderError            a decorator above one that registers
        ├── MissingExtraError              an option that needs an extra
        └── UnknownArgumentError           args= names what the function lacks

Recording and flushing raise none of these. An invalid value is counted in
``stats().invalid``, and ``flush()`` returns whether everything was answered.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConfigError",
    "ConflictError",
    "DecoratorOrderError",
    "DefinitionError",
    "DtmetricsError",
    "InvalidKeyError",
    "MissingExtraError",
    "UnknownArgumentError",
]


class DtmetricsError(Exception):
    """The base class of every exception of dtmetrics.

    >>> from dtmetrics.errors import ConfigError, DefinitionError, DtmetricsError
    >>> issubclass(ConfigError, DtmetricsError), issubclass(DefinitionError, ValueError)
    (True, True)
    """


class ConfigError(DtmetricsError, ValueError):
    r"""Raised by ``configure()`` for invalid settings.

    ``problems`` holds one sentence for each invalid setting, in the form
    ``interval must be between 0 and 86400 seconds, got -1``. A setting from the
    environment is named by its variable. The token is never part of a sentence.

    >>> from dtmetrics import configure
    >>> from dtmetrics.errors import ConfigError
    >>> try:
    ...     configure(interval=-1, level="LOUD")
    ... except ConfigError as error:
    ...     print(*error.problems, sep="\n")
    interval must be between 0 and 86400 seconds, got -1
    level must be a logging level name or an int, got 'LOUD'
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("; ".join(self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DefinitionError(DtmetricsError, ValueError):
    """An instrument that cannot be defined; raised under ``configure(strict=True)``.

    Its definition raises it, or ``configure()`` if the definition came first.

    >>> from dtmetrics import MemoryExporter, configure, counter, shutdown
    >>> configure(exporter=MemoryExporter(), interval=None, strict=True)
    >>> counter("dt.orders")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    dtmetrics.errors.InvalidKeyError: keys that begin with 'dt.' are reserved: ...
    >>> shutdown()
    True
    """


class InvalidKeyError(DefinitionError):
    """A metric key without a valid character, or one that Dynatrace reserves."""


class ConflictError(DefinitionError):
    """One metric key defined as two kinds of instrument, or with other percentiles."""


class DecoratorOrderError(DefinitionError):
    """A decorator of dtmetrics above one that registers the function elsewhere.

    A task of Celery, a command of click or a fixture of pytest is called by its
    framework, which does not call what decorates it. The decorators of dtmetrics must
    be below the one that registers the function.

    >>> from dtmetrics import MemoryExporter, configure, shutdown, timed
    >>> import click
    >>> configure(exporter=MemoryExporter(), interval=None, strict=True)
    >>> @timed("import.duration")  # doctest: +ELLIPSIS
    ... @click.command()
    ... def import_orders(): ...
    Traceback (most recent call last):
        ...
    dtmetrics.errors.DecoratorOrderError: ... must be below @click.command() at ...
    >>> shutdown()
    True
    """


class MissingExtraError(DefinitionError):
    """An option of an instrument that needs an extra which is not installed.

    The instrument itself still records. The message has the command that installs the
    extra:

    ::

        percentiles of summary 'cart.value' (defined at shop.py:7) need the extra:
        python -m pip install 'dtmetrics[percentiles]'
    """


class UnknownArgumentError(DefinitionError):
    """A name in ``args=`` of a timer that is not an argument of the function.

    >>> from dtmetrics import MemoryExporter, configure, shutdown, timed
    >>> configure(exporter=MemoryExporter(), interval=None, strict=True)
    >>> @timed("fetch.duration", args=("regoin",))  # doctest: +ELLIPSIS
    ... def fetch(url, region): ...
    Traceback (most recent call last):
        ...
    dtmetrics.errors.UnknownArgumentError: ...fetch has no argument 'regoin', which ...
    >>> shutdown()
    True
    """

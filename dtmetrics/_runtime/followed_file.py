"""The file of a runtime's configuration: none, until a call of configure() has one.

What follows it is imported with the first file, because most programs have none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.registry import Registry

if TYPE_CHECKING:
    from dtmetrics._config.document import Document
    from dtmetrics._runtime.config_file import ConfigFile, Follower
    from dtmetrics._runtime.given import Given

__all__ = ["FollowedFile"]


class FollowedFile:
    """The file that has configured *registry* last, and what follows it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._file: ConfigFile | None = None

    def expect(self, given: Given) -> None:
        """Note from now on whether this process records, or attempts to."""
        if given.file is not None and self._file is None:
            from dtmetrics._runtime.config_file import ConfigFile  # noqa: PLC0415

            self._file = ConfigFile()
            # A version may disable everything, and a later one enable it.
            self._registry.attempted = partial(
                call_safely, self._file.start, default=None
            )

    def follow(
        self, given: Given, apply: Callable[[Follower, Document], object]
    ) -> None:
        """*apply* each new version of the file that is *given*, and of no other."""
        if self._file is None:
            return
        from dtmetrics._runtime.config_file import Follower  # noqa: PLC0415

        follower = None
        if given.file is not None:
            follower = Follower(given.file, given.content, apply)
        self._file.follow(follower)

    @property
    def follower(self) -> Follower | None:
        """What follows it now."""
        return None if self._file is None else self._file.follower

    def start(self) -> None:
        """Start to follow it: this process records."""
        if self._file is not None:
            self._file.start()

    def end(self) -> None:
        """Follow it no more."""
        if self._file is not None:
            self._file.end()

    def reset_after_fork(self) -> None:
        """In a forked child: follow it from the first record on."""
        if self._file is not None:
            self._file.reset_after_fork()

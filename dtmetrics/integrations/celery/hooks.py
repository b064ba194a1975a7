"""Celery's signals, and the one method whose calls no signal has the application of."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from celery import Celery, signals

__all__ = ["Hooks"]

Method = Callable[..., Any]


class Hooks:
    """Wraps ``Celery.send_task`` by *wrap*, and connects *receivers* to signals."""

    def __init__(
        self, wrap: Callable[[Method], Method], **receivers: Callable[..., None]
    ) -> None:
        self._wrap = wrap
        self._receivers = receivers
        self._original: Method | None = None
        self._wrapper: Method | None = None

    def install(self) -> None:
        """Wrap and connect, unless that is done."""
        if self._original is None:
            original = Celery.send_task
            wrapper = self._wrap(original)
            # Not the attributes: other libraries recognise their wrappers by them.
            update_wrapper(wrapper, original, updated=())
            Celery.send_task = wrapper
            self._original, self._wrapper = original, wrapper
        for name, receiver in self._receivers.items():
            getattr(signals, name).connect(receiver, weak=False)

    def remove(self) -> None:
        """Restore and disconnect.

        Where another library has wrapped the wrapper meanwhile, it stays, and from now
        on only passes on.
        """
        if self._original is not None and Celery.send_task is self._wrapper:
            Celery.send_task = self._original
            self._original = None
        for name, receiver in self._receivers.items():
            getattr(signals, name).disconnect(receiver)

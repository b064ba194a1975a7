"""Messages of tasks that a client or a task sends."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from time import time
from typing import Any

from dtmetrics._instrument.task_queue import Destination, TaskInstruments
from dtmetrics.integrations.celery.applications import (
    Application,
    destination,
    instrumented,
)

__all__ = ["SENT_AT", "begun", "recording_sends"]

#: The header with the time when a message was sent, in seconds since 1970.
SENT_AT = "dtmetrics-sent-at"


class _Message:
    """A message that is being sent."""

    def __init__(self, app: Application, instruments: TaskInstruments) -> None:
        self.app = app
        self.instruments = instruments
        #: None until Celery has a message for the broker.
        self.destination: Destination | None = None

    def count(self, task: str, error: Exception | None = None) -> None:
        """Count that it was sent, or that sending it ended in *error*."""
        if self.destination is not None:
            sent = self.instruments.sent
            self.instruments.safely(sent, self.destination, task, error)


_sending: ContextVar[_Message | None] = ContextVar("dtmetrics.celery", default=None)


def recording_sends(send_task: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that counts each message that it passes on to *send_task*."""

    def recorded(
        self: Application, name: str, *args: object, **kwargs: object
    ) -> object:
        instruments = instrumented.find(self)
        if instruments is None:
            return send_task(self, name, *args, **kwargs)
        message = _Message(self, instruments)
        token = _sending.set(message)
        try:
            result: object = send_task(self, name, *args, **kwargs)
        except Exception as error:
            message.count(name, error)
            raise
        finally:
            _sending.reset(token)
        message.count(name)
        return result

    return recorded


def begun(headers: dict[str, Any], **routing: object) -> None:
    """Follow ``before_task_publish``."""
    message = _sending.get()
    if message is not None:
        message.instruments.safely(_begin, message, headers, routing)


def _begin(
    message: _Message, headers: dict[str, Any], routing: dict[str, object]
) -> None:
    message.destination = destination(message.app, routing)
    headers[SENT_AT] = time()

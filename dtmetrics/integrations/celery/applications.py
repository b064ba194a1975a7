"""Which applications are instrumented, and where their messages go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

from dtmetrics._instrument.task_queue import Destination, TaskInstruments

__all__ = ["Application", "destination", "instrumented", "record"]

# Celery has no types.
Application = Any

# The convention's names of systems, where those of kombu's transports differ
# (https://opentelemetry.io/docs/specs/semconv/registry/attributes/messaging/#messaging-system).
# It has none for Redis.
_SYSTEMS = {
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "azureservicebus": "servicebus",
    "confluentkafka": "kafka",
    "gcpubsub": "gcp_pubsub",
    "librabbitmq": "rabbitmq",
    "pyamqp": "rabbitmq",
    "rediss": "redis",
    "sentinel": "redis",
    "sqs": "aws_sqs",
}

# With quorum queues Celery writes the delay of a task before its routing key, as 28
# times a bit and a point (kombu/transport/native_delayed_delivery.py, version 5.5).
_DELAY_LENGTH = 28 * 2


# Attributes of an application. The __dict__ of a proxy, such as celery.current_app, is
# that of the application; a look into a weak dictionary costs 1 us more.
_INSTRUMENTS, _SYSTEM = "_dtmetrics_instruments", "_dtmetrics_system"


class Instrumented:
    """The instruments of applications; None stands for all applications."""

    def __init__(self) -> None:
        self._of_all: TaskInstruments | None = None
        self._apps: WeakSet[Application] = WeakSet()

    def __contains__(self, app: Application | None) -> bool:
        if app is None:
            return self._of_all is not None
        return _INSTRUMENTS in app.__dict__

    def __iter__(self) -> Iterator[TaskInstruments]:
        for app in list(self._apps):
            yield app.__dict__[_INSTRUMENTS]
        if self._of_all is not None:
            yield self._of_all

    def add(self, app: Application | None, instruments: TaskInstruments) -> None:
        """Record *app* from now on."""
        if app is None:
            self._of_all = instruments
        else:
            app.__dict__[_INSTRUMENTS] = instruments
            self._apps.add(getattr(app, "_get_current_object", lambda: app)())

    def clear(self) -> None:
        """Record no application any more."""
        for instruments in self:
            instruments.unobserve_worker()
        self._of_all = None
        while self._apps:
            del self._apps.pop().__dict__[_INSTRUMENTS]

    def find(self, app: Application) -> TaskInstruments | None:
        """Return what records *app* now, if anything does."""
        found: TaskInstruments | None
        found = app.__dict__.get(_INSTRUMENTS, self._of_all)
        return found if found is not None and found.enabled() else None


instrumented: Instrumented = Instrumented()


def destination(app: Application, routing: dict[str, Any] | None) -> Destination:
    """Return the destination of a message, by its routing: its ``delivery_info``."""
    known = app.__dict__
    if _SYSTEM not in known:
        known[_SYSTEM] = _system(app.conf.broker_write_url)
    routing = routing or {}
    # A topic exchange may have many queues: the routing key is all that both ends have.
    queue = str(routing.get("routing_key") or routing.get("exchange") or "")
    if queue[1:2] == "." and not queue[:_DELAY_LENGTH].strip("01."):
        queue = queue[_DELAY_LENGTH:]
    return Destination(known[_SYSTEM], queue or None)


def record(app: Application, call: Callable[..., object], *args: object) -> None:
    """Call *call* with what records *app*, if anything does; count what it raises."""
    instruments = instrumented.find(app)
    if instruments is not None:
        instruments.safely(call, instruments, *args)


def _system(urls: str | list[str] | None) -> str:
    url = urls if isinstance(urls, str) else next(iter(urls or ()), "")
    scheme, found, _ = url.partition("://")
    transport = scheme.partition("+")[0]
    return _SYSTEMS.get(transport, transport) if found else "rabbitmq"

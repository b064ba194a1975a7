"""Metrics of the operations that an application executes with SQLAlchemy.

>>> from sqlalchemy import create_engine
>>> from dtmetrics.integrations.sqlalchemy import instrument_sqlalchemy
>>> from dtmetrics.integrations.sqlalchemy import uninstrument_sqlalchemy
>>> engine = create_engine("sqlite://")
>>> instrument_sqlalchemy(engine)
>>> uninstrument_sqlalchemy(engine)
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import ExecuteStyle

from dtmetrics._instrument.database_client import Database, DatabaseInstruments
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["instrument_sqlalchemy", "uninstrument_sqlalchemy"]


def instrument_sqlalchemy(
    engine: Engine | AsyncEngine, *, pool: bool = False, meter: Meter | None = None
) -> None:
    """Record each operation of *engine*, until the database has executed it.

    Each is recorded as ``db.client.operation.duration``, in seconds, by OpenTelemetry's
    names (https://opentelemetry.io/docs/specs/semconv/db/database-metrics/). Rows that
    are fetched later take no part in the duration. An operation has its name and, if it
    touches only one, its table, but neither its text nor its values; a failed one has
    the class of the driver's exception.

    A second call does nothing. Make the first one when the program starts: SQLAlchemy
    forbids to add a listener while others are called.

    Args:
        engine (Engine | AsyncEngine): The engine.
        pool (bool): Add the gauge ``db.client.connection.count``: the used and the idle
            connections of the engine's pool, for each worker. Default: False.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.sqlalchemy")``.

    Raises:
        TypeError: *engine* is neither an Engine nor an AsyncEngine.

    >>> from sqlalchemy import create_engine
    >>> from dtmetrics.integrations.sqlalchemy import instrument_sqlalchemy
    >>> instrument_sqlalchemy(create_engine("sqlite://"), pool=True)
    """
    engine = _sync(engine)
    with _lock:
        listener = _listeners.get(engine)
        if listener is None:
            listener = _listeners[engine] = _Listener(engine)
        if listener.instruments is not None:
            return
        meter = meter or default.get_meter(__name__)
        listener.instruments = DatabaseInstruments(meter, _database(engine))
        if pool:
            _pools_of(meter)[engine] = None


def uninstrument_sqlalchemy(engine: Engine | AsyncEngine) -> None:
    """Stop recording the operations of *engine*.

    The listeners stay, and do nothing: statements that run now would fail without them.
    Raises TypeError if *engine* is neither an Engine nor an AsyncEngine.

    >>> from sqlalchemy import create_engine
    >>> from dtmetrics.integrations.sqlalchemy import uninstrument_sqlalchemy
    >>> uninstrument_sqlalchemy(create_engine("sqlite://"))
    """
    engine = _sync(engine)
    with _lock:
        if engine in _listeners:
            _listeners[engine].instruments = None
        for engines in _pools.values():
            engines.pop(engine, None)


class _Listener:
    """Listens to one engine, for good. It holds no reference to the engine."""

    def __init__(self, engine: Engine) -> None:
        #: None while the engine is not instrumented.
        self.instruments: DatabaseInstruments | None = None
        # With retval=True, or else SQLAlchemy puts a function around this one.
        event.listen(engine, "before_cursor_execute", self._before, retval=True)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._failed)

    # SQLAlchemy passes connection, cursor, statement, parameters, context, and whether
    # there are several sets of parameters.

    def _before(self, *arguments: Any) -> tuple[str, Any]:  # noqa: ANN401 -- a driver's own objects are among them
        _, _, statement, parameters, context, _ = arguments
        instruments = self.instruments
        if instruments is not None and instruments.enabled():
            # The start belongs to the execution: many may run at once.
            context._dtmetrics_start = perf_counter()  # noqa: SLF001 -- our own attribute
        return statement, parameters

    def _after(self, *arguments: Any) -> None:  # noqa: ANN401 -- as above
        _, _, statement, _, context, _ = arguments
        self._record(context, statement)

    def _failed(self, failure: ExceptionContext) -> None:
        if failure.execution_context is not None:  # an operation had begun
            error = _drivers_error(failure.original_exception)
            self._record(failure.execution_context, failure.statement, error)

    def _record(
        self,
        context: Any,  # noqa: ANN401 -- a dialect's own class
        statement: str | None,
        error: BaseException | None = None,
    ) -> None:
        instruments = self.instruments
        if instruments is None:
            return
        # Removed: the listeners of a parent engine see an engine with options as well.
        # None while rows are fetched: the operation has ended before.
        start = context.__dict__.pop("_dtmetrics_start", None)
        if start is not None:
            took = perf_counter() - start
            # Not the argument *executemany*: one statement with many rows has it too.
            batch = context.execute_style is ExecuteStyle.EXECUTEMANY
            instruments.record(took, statement, batch=batch, error=error)


def _drivers_error(error: BaseException) -> BaseException:
    """Return the driver's exception, where SQLAlchemy raises its own because of it."""
    if type(error).__module__.startswith("sqlalchemy."):
        return error.__cause__ or error
    return error


# -- pools ---------------------------------------------------------------------------


def _pools_of(meter: Meter) -> WeakKeyDictionary[Engine, None]:
    """Return the engines whose pools *meter* observes; start observing at first."""
    if meter not in _pools:
        engines = _pools[meter] = WeakKeyDictionary()
        observe = meter.observe(
            "db.client.connection.count",
            unit="{connection}",
            description="Connections of a pool, by whether they are in use",
        )
        observe(lambda: _connections(engines))
    return _pools[meter]


def _connections(
    engines: WeakKeyDictionary[Engine, None],
) -> Iterator[tuple[int, dict[str, str]]]:
    counts: Tally[tuple[str, str]] = Tally()
    # Without the lock: a fork may have left it locked. keyrefs() copies at once.
    for reference in engines.keyrefs():
        engine = reference()
        if engine is None:
            continue
        # The present pool: dispose() makes a new one. Some kinds of pool do not count.
        pool: Any = engine.pool
        if hasattr(pool, "checkedout") and hasattr(pool, "checkedin"):
            name = _pool_name(engine)
            counts[name, "used"] += pool.checkedout()
            counts[name, "idle"] += pool.checkedin()
    for (name, state), count in counts.items():
        dimensions = {
            "db.client.connection.pool.name": name,
            "db.client.connection.state": state,
        }
        yield count, dimensions


def _pool_name(engine: Engine) -> str:
    """Return the name that the convention gives a pool without one."""
    _, namespace, server, port = _database(engine)
    if server is None:
        return namespace or engine.url.drivername
    return f"{server}{'' if port is None else f':{port}'}/{namespace or ''}"


# -- engines -------------------------------------------------------------------------


def _sync(engine: Engine | AsyncEngine) -> Engine:
    sync_engine = getattr(engine, "sync_engine", engine)
    if not isinstance(sync_engine, Engine):
        raise TypeError(
            "engine must be a sqlalchemy Engine or AsyncEngine, "
            f"got an object of {type(engine).__name__}"
        )
    return sync_engine


def _database(engine: Engine) -> Database:
    url = engine.url
    return Database.of(engine.name, url.database, url.host, url.port)


_lock = Lock()
_listeners: WeakKeyDictionary[Engine, _Listener] = WeakKeyDictionary()
_pools: dict[Meter, WeakKeyDictionary[Engine, None]] = {}

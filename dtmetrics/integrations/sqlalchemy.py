"""Metrics of what an application asks a database by SQLAlchemy.

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
from weakref import ReferenceType, WeakKeyDictionary, ref

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import ExecuteStyle

from dtmetrics._instrument.database import Database, Operations
from dtmetrics._instrument.worker_id import worker_number
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["instrument_sqlalchemy", "uninstrument_sqlalchemy"]

# The name of each engine's pool.
Pools = dict["ReferenceType[Engine]", str]

# Not by *many*, which also says that one statement has many rows.
_BATCH = ExecuteStyle.EXECUTEMANY

_START = "_dtmetrics_start"  # an attribute of an execution's context


def instrument_sqlalchemy(
    engine: Engine | AsyncEngine, *, pool: bool = False, meter: Meter | None = None
) -> None:
    """CallHook each operation of *engine*, until the database has executed it.

    What the rows take that are fetched later is not in it. Of a statement no more is
    told than its operation and, if it is one, its table; a failure has the class of
    the driver's exception. *pool* shows how many connections are used and idle, as a
    gauge of each worker's own. *meter* records; by default it has this module's name.
    A second call does nothing. The first one is for the start of a program: SQLAlchemy
    wants no listener added while others are called.
    """
    engine = _sync(engine)
    with _lock:
        statements = _heard.get(engine)
        if statements is None:
            statements = _heard[engine] = _Statements()
            statements.listen(engine)
        if statements.operations is not None:
            return
        meter = meter or default.get_meter("dtmetrics.integrations.sqlalchemy")
        statements.operations = Operations(meter, _database(engine))
        if pool:
            _pools_of(meter)[ref(engine)] = _pool_name(engine)


def uninstrument_sqlalchemy(engine: Engine | AsyncEngine) -> None:
    """CallHook *engine* no more.

    What listens to it stays, and does nothing: statements may be running, which would
    fail if it were taken away.
    """
    engine = _sync(engine)
    with _lock:
        if engine in _heard:
            _heard[engine].operations = None
        for pools in _pools.values():
            pools.pop(ref(engine), None)


class _Statements:
    """What listens to one engine, for good. It does not hold it."""

    def __init__(self) -> None:
        #: Where they are noted; None: they are not measured.
        self.operations: Operations | None = None

    def listen(self, engine: Engine) -> None:
        """Hear of each statement of *engine*."""
        # With a value returned, or else SQLAlchemy puts a function around it.
        event.listen(engine, "before_cursor_execute", self._before, retval=True)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._failed)

    def _before(
        self, conn: Any, cursor: Any, sql: str, values: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        operations = self.operations
        if operations is not None and operations.measured():
            # With the call, for many may run at once; one after the other in it.
            context._dtmetrics_start = perf_counter()
        return sql, values

    def _after(
        self, conn: Any, cursor: Any, sql: str, values: Any, context: Any, many: bool
    ) -> None:
        operations = self.operations
        if operations is None:
            return
        # Taken out: an engine with options is heard by its parent's listeners too.
        start = context.__dict__.pop(_START, None)
        if start is not None:
            took = perf_counter() - start
            operations.note(took, sql, context.execute_style is _BATCH)

    def _failed(self, about: ExceptionContext) -> None:
        operations, context = self.operations, about.execution_context
        if operations is None or context is None:  # nothing was begun
            return
        # None where rows are fetched: it has ended before.
        start = context.__dict__.pop(_START, None)
        if start is not None:
            took = perf_counter() - start
            batch = context.execute_style is _BATCH
            error = _of_driver(about.original_exception)
            operations.note(took, about.statement, batch, error)


def _of_driver(error: BaseException) -> BaseException:
    """Return what the driver has raised, where SQLAlchemy raises its own of that."""
    if type(error).__module__.startswith("sqlalchemy."):
        return error.__cause__ or error
    return error


# -- pools ---------------------------------------------------------------------------


def _pools_of(meter: Meter) -> Pools:
    """Return the pools that *meter* shows; asked about from the first one on."""
    if meter not in _pools:
        pools: Pools = {}
        _pools[meter] = pools
        observed = meter.observe(
            "db.client.connection.count",
            unit="{connection}",
            description="Connections of a pool, by whether they are in use",
        )
        observed(lambda: _connections(pools))
    return _pools[meter]


def _connections(pools: Pools) -> Iterator[tuple[int, dict[str, str | None]]]:
    counts: Tally[tuple[str, str]] = Tally()
    # Without the lock, which a fork may have left locked.
    for held, name in list(pools.items()):
        engine = held()
        if engine is None:
            pools.pop(held, None)
            continue
        # As it is now: dispose() makes a new one. Some kinds do not count.
        pool: Any = engine.pool
        if hasattr(pool, "checkedout") and hasattr(pool, "checkedin"):
            counts[name, "used"] += pool.checkedout()
            counts[name, "idle"] += pool.checkedin()
    for (name, state), count in counts.items():
        yield (
            count,
            {
                "db.client.connection.pool.name": name,
                "db.client.connection.state": state,
                "dtmetrics.worker": worker_number(),
            },
        )


def _pool_name(engine: Engine) -> str:
    """Return what the convention makes of a pool without a name."""
    _, namespace, server, port = _database(engine)
    if server is None:
        return namespace or engine.url.drivername
    return f"{server}{'' if port is None else f':{port}'}/{namespace or ''}"


# -- engines -------------------------------------------------------------------------


def _sync(engine: Any) -> Engine:
    found = getattr(engine, "sync_engine", engine)
    if not isinstance(found, Engine):
        kind = type(engine).__name__
        raise TypeError(f"only an Engine or an AsyncEngine is measured, not a {kind}")
    return found


def _database(engine: Engine) -> Database:
    url = engine.url
    return Database.of(engine.name, url.database, url.host, url.port)


_lock = Lock()
_heard: WeakKeyDictionary[Engine, _Statements] = WeakKeyDictionary()
_pools: dict[Meter, Pools] = {}

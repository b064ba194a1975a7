"""Metrics of what an application asks a database by SQLAlchemy.

>>> from sqlalchemy import create_engine
>>> from dtmetrics.sqlalchemy import instrument_sqlalchemy, uninstrument_sqlalchemy
>>> engine = create_engine("sqlite://")
>>> instrument_sqlalchemy(engine)
>>> uninstrument_sqlalchemy(engine)
"""

from __future__ import annotations

import os.path
from collections import Counter as Tally
from collections.abc import Iterator
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from sqlalchemy import event

from dtmetrics._outbound.sql import read
from dtmetrics._record.instruments import Summary
from dtmetrics._record.kept import Kept
from dtmetrics._record.measure import error_type
from dtmetrics._record.meter import Meter
from dtmetrics._record.worker import worker_number
from dtmetrics._setup.default import default

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine, ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["instrument_sqlalchemy", "uninstrument_sqlalchemy"]

# The name of each engine's pool.
Pools = dict["ReferenceType[Engine]", str]

# As OpenTelemetry calls them, where SQLAlchemy has another name.
_SYSTEMS = {
    "db2": "ibm.db2",
    "hana": "sap.hana",
    "ibm_db_sa": "ibm.db2",
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "redshift": "aws.redshift",
}

_START = "_dtmetrics_start"


def instrument_sqlalchemy(
    engine: Engine | AsyncEngine, *, pool: bool = False, meter: Meter | None = None
) -> None:
    """Measure each operation of *engine*, until the database has executed it.

    What the rows take that are fetched later is not in it. Of a statement no more is
    told than its operation and, if it is one, its table; a failure has the class of
    the driver's exception. *pool* shows how many connections are used and idle, as a
    gauge of each worker's own. *meter* records, by default ``dtmetrics.sqlalchemy``.
    A second call does nothing.
    """
    engine = _sync(engine)
    with _lock:
        if engine in _measured:
            return
        meter = meter or default.get_meter("dtmetrics.sqlalchemy")
        made = _measured[engine] = _Operations(engine, meter)
        for name, listener in made.listeners():
            event.listen(engine, name, listener)
        if pool:
            _pools_of(meter)[ref(engine)] = _pool_name(engine.url)


def uninstrument_sqlalchemy(engine: Engine | AsyncEngine) -> None:
    """Measure *engine* no more."""
    engine = _sync(engine)
    with _lock:
        made = _measured.pop(engine, None)
        if made is None:
            return
        for name, listener in made.listeners():
            event.remove(engine, name, listener)
        for pools in _pools.values():
            pools.pop(ref(engine), None)


class _Operations:
    """What listens to one engine. It does not hold it."""

    def __init__(self, engine: Engine, meter: Meter) -> None:
        url = engine.url
        self._registry = meter._registry
        self._duration = meter.summary(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database operations, without fetching of rows",
        ).bind(
            **{
                "db.system.name": _SYSTEMS.get(engine.name, engine.name),
                "db.namespace": _database(url),
                "server.address": url.host or None,
                "server.port": url.port,
            }
        )
        self._bound = Kept(self._bind)

    def listeners(self) -> list[tuple[str, Any]]:
        """Return the events of SQLAlchemy, and what listens to them."""
        return [
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        ]

    def _before(
        self, conn: Any, cursor: Any, sql: str, values: Any, context: Any, many: bool
    ) -> None:
        if self._registry.recording:
            # With the call, for many may run at once; one after the other in it.
            setattr(context, _START, perf_counter())

    def _after(
        self, conn: Any, cursor: Any, sql: str, values: Any, context: Any, many: bool
    ) -> None:
        # Taken out: an engine with options is heard by its parent's listeners too.
        start = vars(context).pop(_START, None)
        if start is not None:
            self._record(perf_counter() - start, sql, None)

    def _failed(self, about: ExceptionContext) -> None:
        context = about.execution_context
        # Without one nothing was begun; later, as rows are fetched, it has ended.
        start = None if context is None else vars(context).pop(_START, None)
        if start is not None:
            took = perf_counter() - start
            self._record(took, about.statement, error_type(about.original_exception))

    def _record(self, took: float, sql: str | None, error: str | None) -> None:
        self._bound[(*read(sql), error)].record(took)

    def _bind(self, *about: str | None) -> Summary:
        names = ("db.operation.name", "db.collection.name", "error.type")
        return self._duration.bind(**dict(zip(names, about, strict=True)))


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


def _pool_name(url: URL) -> str:
    """Return what the convention makes of a pool without a name."""
    server = url.host or ""
    if url.port is not None:
        server = f"{server}:{url.port}"
    return (
        f"{server}/{_database(url) or ''}"
        if server
        else _database(url) or url.drivername
    )


# -- engines -------------------------------------------------------------------------


def _sync(engine: Any) -> Engine:
    found: Engine = getattr(engine, "sync_engine", engine)
    return found


def _database(url: URL) -> str | None:
    """Return the name of the database; of SQLite's, that of its file, not its path."""
    name = url.database
    if name and url.get_backend_name() == "sqlite":
        name = os.path.basename(name.partition("?")[0])
        return None if name == ":memory:" else name
    return name or None


_lock = Lock()
_measured: WeakKeyDictionary[Engine, _Operations] = WeakKeyDictionary()
_pools: dict[Meter, Pools] = {}

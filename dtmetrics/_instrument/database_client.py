"""Operations that an application executes on its databases.

An integration makes one ``DatabaseInstruments`` for each database, and around each
execution::

    if not instruments.enabled():
        ...                                          # pass the statement on untouched
    start = perf_counter()
    instruments.record(perf_counter() - start, sql)  # also where it raised, with error=

Neither of these raises.
"""

from __future__ import annotations

import os.path
from functools import lru_cache
from typing import NamedTuple

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.sql import Statement, read
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

__all__ = ["Database", "DatabaseInstruments"]

INVALID_STATEMENT = "statement that cannot be read"

# How many combinations of operation, table and error keep their bound instrument.
# Applications can make up any number of tables.
_CACHED = 1024

# The convention's names of systems, where those of Django or SQLAlchemy differ
# (https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/#db-system-name).
_SYSTEMS = {
    "db2": "ibm.db2",
    "hana": "sap.hana",
    "ibm_db_sa": "ibm.db2",
    "microsoft": "microsoft.sql_server",
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "redshift": "aws.redshift",
    "unknown": "other_sql",
}


class Database(NamedTuple):
    """Identifies a database; never by a user or a directory."""

    system: str
    namespace: str | None
    address: str | None
    port: str | None

    @classmethod
    def of(cls, system: str, name: object, host: object, port: object) -> Database:
        """Return the database that a configuration names; parts may be empty."""
        namespace = str(name or "")
        if system == "sqlite":  # a path, or a URI
            namespace = os.path.basename(namespace.partition("?")[0])
            namespace = "" if ":memory:" in namespace else namespace
        address = str(host or "")
        return cls(
            _SYSTEMS.get(system, system),
            namespace or None,
            address or None,
            (str(port or "") or None) if address else None,
        )


class DatabaseInstruments:
    """The instruments of one database."""

    def __init__(self, meter: Meter, database: Database) -> None:
        self._registry = meter.registry
        dimensions = {
            "db.system.name": database.system,
            "db.namespace": database.namespace,
            "server.address": database.address,
            "server.port": database.port,
        }
        self._duration = meter.summary(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database operations, without fetching of rows",
        ).bind(**dimensions)
        self._bound = lru_cache(_CACHED)(self._bind)

    def enabled(self) -> bool:
        """Return whether to record an operation: not an exporter's own."""
        return self._registry.recording and not SUPPRESSED.get()

    def record(
        self,
        took: float,
        sql: object,
        *,
        batch: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """Record that *sql* was executed, or ended in *error*, after *took* seconds.

        In a *batch* it was executed for several sets of values at once. A driver's own
        object in place of a text is not looked into.
        """
        kind = None if error is None else error_type(error)
        try:
            self._bound(read(sql), batch, kind).record(took)
        except Exception:  # noqa: BLE001
            # The text may be of an application's own class. `call_safely` costs 0.4 us.
            self._duration.reject(INVALID_STATEMENT)

    def _bind(self, statement: Statement, batch: bool, error: str | None) -> Summary:  # noqa: FBT001 -- part of a cache's key
        operation, table = statement
        if batch and operation:
            operation = f"BATCH {operation}"
        dimensions = {
            "db.operation.name": operation,
            "db.collection.name": table,
            "error.type": error,
        }
        return self._duration.bind(**dimensions)

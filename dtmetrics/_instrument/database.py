"""Operations on databases: which they are, and on which database.

An integration makes ``Operations`` for a database, and around each execution::

    if not operations.measured():
        ...                                             # pass it on untouched
    start = clock()
    operations.note(clock() - start, sql, batch)        # or, where it raised,
    operations.note(clock() - start, sql, batch, error)

Nothing of it ever raises.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.bounded_cache import BoundedCache
from dtmetrics._instrument.sql import read
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

__all__ = ["Database", "Operations"]

NOT_RECORDED = "statement that makes no sense"

# What the convention calls a system that Django or SQLAlchemy calls something else
# (https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/#db-system-name).
_SYSTEMS: Mapping[str, str] = MappingProxyType(
    {
        "db2": "ibm.db2",
        "hana": "sap.hana",
        "ibm_db_sa": "ibm.db2",
        "microsoft": "microsoft.sql_server",
        "mssql": "microsoft.sql_server",
        "oracle": "oracle.db",
        "redshift": "aws.redshift",
        "unknown": "other_sql",
    }
)


class Database(NamedTuple):
    """What tells a database from others; never a user, nor a path."""

    system: str
    namespace: str | None
    address: str | None
    port: str | None

    @classmethod
    def of(cls, system: str, name: object, host: object, port: object) -> Database:
        """Return what a configuration says, with empty texts for what it does not."""
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

    def dimensions(self) -> dict[str, str | None]:
        """Return what goes with each of its operations."""
        return {
            "db.system.name": self.system,
            "db.namespace": self.namespace,
            "server.address": self.address,
            "server.port": self.port,
        }


class Operations:
    """The operations on one database."""

    def __init__(self, meter: Meter, database: Database) -> None:
        self._registry = meter.registry
        self._duration = meter.summary(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database operations, without fetching of rows",
        ).bind(**database.dimensions())
        # By what an application asks, and what comes of it.
        self._bound = BoundedCache(self._bind)

    def measured(self) -> bool:
        """Say whether an operation is to be measured: our own delivery's are not."""
        return self._registry.recording and not SUPPRESSED.get()

    def note(
        self, took: float, sql: object, batch: bool, error: BaseException | None = None
    ) -> None:
        """Record that *sql* was executed, or ended in *error*.

        It is a *batch* if it was executed for several sets of values at once. What is
        no text, such as a driver's own object, is not looked into.
        """
        kind = None if error is None else error_type(error)
        try:
            self._bound[(*read(sql), batch, kind)].record(took)
        except Exception:  # noqa: BLE001
            # The text may be of an application's own class. `call_safely` costs 0.4 us.
            self._duration.reject(NOT_RECORDED)

    def _bind(
        self, operation: str | None, table: str | None, batch: bool, error: str | None
    ) -> Summary:
        named = {
            "db.operation.name": f"BATCH {operation}"
            if batch and operation
            else operation,
            "db.collection.name": table,
            "error.type": error,
        }
        return self._duration.bind(**named)

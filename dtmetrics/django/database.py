"""How long each query of Django's databases takes, in all threads and tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from dtmetrics._outbound.sql import read
from dtmetrics._record.guard import attempt
from dtmetrics._record.instruments import Summary
from dtmetrics._record.kept import Kept
from dtmetrics._record.measure import error_type
from dtmetrics._record.meter import Meter

__all__ = ["Databases"]

# https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/#db-system-name
_SYSTEMS = MappingProxyType(
    {
        "cockroachdb": "cockroachdb",
        "microsoft": "microsoft.sql_server",
        "mysql": "mysql",
        "oracle": "oracle.db",
        "postgresql": "postgresql",
        "sqlite": "sqlite",
    }
)


class Databases:
    """The databases of an application; each of their connections gets a wrapper."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._queries: dict[Any, _Queries] = {}

    def instrument(self) -> None:
        """Measure the queries of all connections, from now on."""
        connection_created.connect(
            self._connected, dispatch_uid="dtmetrics", weak=False
        )
        for connection in connections.all(initialized_only=True):
            self._connected(connection=connection)

    def _connected(self, *, connection: Any, **_: Any) -> None:
        attempt(self._wrap, connection, default=None)

    def _wrap(self, connection: Any) -> None:
        dimensions = _dimensions(connection.vendor, connection.settings_dict)
        key = tuple(dimensions.values())
        queries = self._queries.get(key)
        if queries is None:
            queries = self._queries.setdefault(key, _Queries(self._meter, dimensions))
        wrappers = connection.execute_wrappers
        if queries in wrappers:  # it was closed, and is open again
            return
        wrappers[:] = [each for each in wrappers if not isinstance(each, _Queries)]
        # Not at the end: a block `with connection.execute_wrapper(...)` that is open
        # now will take away what is there.
        wrappers.insert(0, queries)


class _Queries:
    """The queries of one database."""

    def __init__(self, meter: Meter, dimensions: Mapping[str, Any]) -> None:
        self._summary = meter.summary(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database queries, without fetching what they find",
        ).bind(**dimensions)
        self._registry = meter._registry
        self._bound = Kept(self._bind)

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        """Execute *sql*, as Django wants it."""
        if not self._registry.recording:
            return execute(sql, params, many, context)
        start = perf_counter()
        try:
            result = execute(sql, params, many, context)
        except BaseException as error:
            self._note(perf_counter() - start, sql, many, error_type(error))
            raise
        self._note(perf_counter() - start, sql, many, None)
        return result

    def _note(self, took: float, sql: Any, many: bool, error: str | None) -> None:
        attempt(
            self._record, took, sql, many, error, default=None, on_error=self._refuse
        )

    def _refuse(self, _: Exception) -> None:
        self._summary._origin.family.refuse("query that makes no sense")

    def _record(self, took: float, sql: Any, many: bool, error: str | None) -> None:
        # A driver's own object, such as psycopg's `Composed`, is not looked into.
        self._bound[(*read(sql), many, error)].record(took)

    def _bind(
        self, operation: str | None, table: str | None, many: bool, error: str | None
    ) -> Summary:
        named = {
            "db.operation.name": f"BATCH {operation}"
            if many and operation
            else operation,
            "db.collection.name": table,
            "error.type": error,
        }
        return self._summary.bind(**named)


def _dimensions(vendor: str, said: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what tells one database of an application from the others."""
    name, host = str(said.get("NAME") or ""), str(said.get("HOST") or "")
    if vendor == "sqlite":  # a path, or a URI of one in memory
        name = os.path.basename(name.partition("?")[0])
    return {
        "db.system.name": _SYSTEMS.get(vendor, "other_sql"),
        "db.namespace": name or None,
        "server.address": host or None,
        "server.port": str(said.get("PORT") or "") or None if host else None,
    }

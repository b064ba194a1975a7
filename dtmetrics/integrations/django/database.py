"""How long each query of Django's databases takes, in all threads and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.database import Database, Operations
from dtmetrics._record.meter import Meter

__all__ = ["Databases"]


class Databases:
    """The databases of an application; each of their connections gets a wrapper."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._queries: dict[Database, _Queries] = {}

    def instrument(self) -> None:
        """CallHook the queries of all connections, from now on."""
        connection_created.connect(
            self._connected, dispatch_uid="dtmetrics", weak=False
        )
        # It fails where there is no default database, which need not matter.
        for connection in call_safely(connections.all, True, default=[]):
            self._connected(connection=connection)

    def _connected(self, *, connection: Any, **_: Any) -> None:
        call_safely(self._wrap, connection, default=None)

    def _wrap(self, connection: Any) -> None:
        database = _database(connection.vendor, connection.settings_dict)
        queries = self._queries.get(database)
        if queries is None:
            made = _Queries(Operations(self._meter, database))
            queries = self._queries.setdefault(database, made)
        wrappers = connection.execute_wrappers
        if queries in wrappers:  # it was closed, and is open again
            return
        wrappers[:] = [each for each in wrappers if not isinstance(each, _Queries)]
        # Not at the end: a block `with connection.execute_wrapper(...)` that is open
        # now will take away what is there.
        wrappers.insert(0, queries)


class _Queries:
    """The queries of one database."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: Any,
    ) -> Any:
        """Execute *sql*, as Django wants it."""
        operations = self._operations
        if not operations.measured():
            return execute(sql, params, many, context)
        batch = many and _are_several(params)
        start = perf_counter()
        try:
            result = execute(sql, params, many, context)
        except BaseException as error:
            operations.note(perf_counter() - start, sql, batch, error)
            raise
        operations.note(perf_counter() - start, sql, batch)
        return result


def _are_several(params: Any) -> bool:
    # One set of values is no batch, says the convention; an iterator's are not known.
    return call_safely(len, params, default=2) != 1


def _database(vendor: str, said: Mapping[str, Any]) -> Database:
    get = said.get
    return Database.of(vendor, get("NAME"), get("HOST"), get("PORT"))

"""The duration of each query of Django's databases, in all threads and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.database_client import Database, DatabaseInstruments
from dtmetrics._record.meter import Meter

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper as Connection

__all__ = ["instrument_queries"]


def instrument_queries(meter: Meter) -> None:
    """Record the queries of all connections from now on."""

    @cache
    def wrapper_of(database: Database) -> _QueryWrapper:
        return _QueryWrapper(meter, database)

    def wrap(connection: Connection) -> None:
        database = _database(connection.vendor, connection.settings_dict)
        wrapper, wrappers = wrapper_of(database), connection.execute_wrappers
        if wrapper not in wrappers:  # else the connection was closed, and is open again
            others = [each for each in wrappers if not isinstance(each, _QueryWrapper)]
            # First, not last: at the end of a `with connection.execute_wrapper(...)`
            # Django removes the last one.
            wrappers[:] = [wrapper, *others]

    def connected(*, connection: Connection, **_: object) -> None:
        call_safely(wrap, connection, default=None)

    connection_created.connect(connected, dispatch_uid="dtmetrics", weak=False)
    # It raises where there is no default database, which may be intended.
    for connection in call_safely(connections.all, True, default=[]):  # noqa: FBT003 -- call_safely passes no keywords
        connected(connection=connection)


class _QueryWrapper(DatabaseInstruments):
    """Records the queries of one database."""

    def __call__(
        self,
        execute: Callable[..., object],
        sql: object,
        params: object,
        many: bool,  # noqa: FBT001 -- Django's protocol
        context: object,
    ) -> object:
        """Execute *sql*, as Django's protocol of wrappers defines it."""
        if not self.enabled():
            return execute(sql, params, many, context)
        # To the convention one set of values is not a batch. An iterator has no length.
        batch = many and call_safely(len, params, default=2) != 1
        start = perf_counter()
        try:
            result = execute(sql, params, many, context)
        except BaseException as error:
            self.record(perf_counter() - start, sql, batch=batch, error=error)
            raise
        self.record(perf_counter() - start, sql, batch=batch)
        return result


def _database(vendor: str, settings: Mapping[str, Any]) -> Database:
    get = settings.get
    return Database.of(vendor, get("NAME"), get("HOST"), get("PORT"))

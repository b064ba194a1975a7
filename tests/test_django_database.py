from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connection, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import IntegrityError, OperationalError

import dtmetrics
from dtmetrics._instrument.database_client import INVALID_STATEMENT
from dtmetrics.integrations.django.database import _database
from tests.support.django_site import Seen

QUERY = "db.client.operation.duration"


class Item(models.Model):
    """An article of the shop."""

    name = models.CharField(max_length=20, unique=True)

    class Meta:
        """The application is not installed."""

        app_label = "shop"


def close() -> None:
    """Close this thread's connection, also one to memory, which Django leaves open."""
    BaseDatabaseWrapper.close(connections["default"])


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Return the recorded lines, with a table in a new database."""
    close()
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    yield Seen()
    close()
    del connections["default"]


def recorded(seen: Seen) -> dict[tuple[str | None, ...], int]:
    """Return the number of queries by operation, table and error."""
    names = "db.operation.name", "db.collection.name", "error.type"
    return dict(seen.counts(QUERY, *names))


def test_queries(seen: Seen) -> None:
    """Each query of the ORM is recorded with its operation and its table."""
    Item.objects.create(name="secret")
    Item.objects.filter(name="secret").update(name="other")
    assert Item.objects.get(name="other").pk
    Item.objects.all().delete()
    assert recorded(seen) == {
        ("INSERT", "shop_item", None): 1,
        ("UPDATE", "shop_item", None): 1,
        ("SELECT", "shop_item", None): 1,
        ("BEGIN", None, None): 1,
        ("DELETE", "shop_item", None): 1,
    }
    dimensions, payload = seen.lines(QUERY)[0]
    assert dimensions["db.system.name"] == "sqlite"
    assert payload.startswith("min=")
    assert "secret" not in str(seen.lines(QUERY))


def test_batches(seen: Seen) -> None:
    """One statement for many rows is one operation; its name begins with BATCH."""
    with connection.cursor() as cursor:
        rows = [("a",), ("b",)]
        cursor.executemany("INSERT INTO shop_item (name) VALUES (%s)", rows)
    assert recorded(seen) == {("BATCH INSERT", "shop_item", None): 1}
    assert Item.objects.count() == 2


def test_batches_of_one(seen: Seen) -> None:
    """One set of values is not a batch, unless an iterator hides their number."""
    insert = "INSERT INTO shop_item (name) VALUES (%s)"
    with connection.cursor() as cursor:
        cursor.executemany(insert, [("a",)])
        cursor.executemany(insert, iter([("b",)]))
    assert recorded(seen) == {
        ("INSERT", "shop_item", None): 1,
        ("BATCH INSERT", "shop_item", None): 1,
    }


def test_errors(seen: Seen) -> None:
    """A failed query is recorded with its exception's type; the exception passes."""
    Item.objects.create(name="a")
    with pytest.raises(IntegrityError):
        Item.objects.create(name="a")
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM none")
    kinds = {(operation, kind) for operation, _, kind in recorded(seen)}
    assert kinds == {
        ("INSERT", None),
        ("INSERT", "django.db.utils.IntegrityError"),
        ("SELECT", "django.db.utils.OperationalError"),
    }


def test_drivers_own_statements(seen: Seen) -> None:
    """A statement that is not a text is passed on, and has no operation."""

    class Composed:
        """A statement of a driver's own class."""

    def execute(sql: Any, *_: Any) -> Any:
        return sql

    sql = Composed()
    [timed] = connection.execute_wrappers
    assert timed(execute, sql, None, False, {}) is sql
    assert recorded(seen) == {(None, None, None): 1}


def test_invalid_statements(seen: Seen) -> None:
    """A text whose own methods raise is executed, and counted as invalid."""

    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ZeroDivisionError

    with connection.cursor() as cursor:
        cursor.execute(Text("SELECT 1"))
        assert cursor.fetchone() == (1,)
    assert dtmetrics.stats().invalid == {INVALID_STATEMENT: 1}


def test_other_wrappers(seen: Seen) -> None:
    """A block of execute_wrapper() that opens the connection removes its own wrapper."""
    close()
    del connections["default"]
    calls = []

    def logging(execute: Any, *args: Any) -> Any:
        calls.append(args[0])
        return execute(*args)

    with connections["default"].execute_wrapper(logging):
        connections["default"].cursor().execute("SELECT 1")
    connections["default"].cursor().execute("SELECT 2")
    assert calls == ["SELECT 1"]
    assert recorded(seen) == {("SELECT", None, None): 2}
    assert logging not in connections["default"].execute_wrappers


def test_opened_again(seen: Seen) -> None:
    """Queries of a connection that was opened again are recorded once."""
    for _ in range(3):
        close()
        connections["default"].connect()
    connection.cursor().execute("SELECT 1")
    assert recorded(seen) == {("SELECT", None, None): 1}


def test_threads_and_tasks(seen: Seen) -> None:
    """Queries of all threads are recorded, and those of asynchronous code."""

    def ask() -> None:
        connection.cursor().execute("SELECT 1")
        close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def asked() -> None:
        async with ThreadSensitiveContext():
            with pytest.raises(OperationalError):  # another database, without a table
                await Item.objects.acount()
            await sync_to_async(close)()

    asyncio.run(asked())
    assert recorded(seen) == {
        ("SELECT", None, None): 4,
        ("SELECT", "shop_item", "django.db.utils.OperationalError"): 1,
    }


def test_databases() -> None:
    """A database is identified by its settings."""
    settings = {"NAME": "shop", "HOST": "db1", "PORT": 6432, "PASSWORD": "secret"}
    assert _database("postgresql", settings) == ("postgresql", "shop", "db1", "6432")
    assert _database("nosql", {}) == ("nosql", None, None, None)


def test_not_recording(seen: Seen) -> None:
    """While recording is off queries are passed on."""
    dtmetrics.shutdown()
    assert Item.objects.count() == 0

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from asgiref.sync import ThreadSensitiveContext
from django.db import connection, connections, models
from django.db.utils import IntegrityError, OperationalError

import dtmetrics
from dtmetrics.integrations.django.database import _database
from tests.support.django_site import Seen

QUERY = "db.client.operation.duration"


class Item(models.Model):
    """What the shop sells."""

    name = models.CharField(max_length=20, unique=True)

    class Meta:
        """Of an application that is not installed."""

        app_label = "shop"


@pytest.fixture
def seen() -> Iterator[Seen]:
    """Return what is recorded, with a table in a database of the test's own."""
    connection.close()
    with connection.schema_editor() as editor:
        editor.create_model(Item)
    yield Seen()
    connections.close_all()
    del connections["default"]


def said(seen: Seen) -> dict[tuple[str | None, ...], int]:
    """Return how many queries there are by operation, table and error."""
    names = "db.operation.name", "db.collection.name", "error.type"
    return dict(seen.counts(QUERY, *names))


def test_queries(seen: Seen) -> None:
    """Each query of the ORM is timed, by its operation and its table."""
    Item.objects.create(name="secret")
    Item.objects.filter(name="secret").update(name="other")
    assert Item.objects.get(name="other").pk
    Item.objects.all().delete()
    assert said(seen) == {
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
    """One statement for many rows is one operation, called a batch."""
    with connection.cursor() as cursor:
        rows = [("a",), ("b",)]
        cursor.executemany("INSERT INTO shop_item (name) VALUES (%s)", rows)
    assert said(seen) == {("BATCH INSERT", "shop_item", None): 1}
    assert Item.objects.count() == 2


def test_batches_of_one(seen: Seen) -> None:
    """A batch of one is none, where that can be seen."""
    insert = "INSERT INTO shop_item (name) VALUES (%s)"
    with connection.cursor() as cursor:
        cursor.executemany(insert, [("a",)])
        cursor.executemany(insert, iter([("b",)]))
    assert said(seen) == {
        ("INSERT", "shop_item", None): 1,
        ("BATCH INSERT", "shop_item", None): 1,
    }


def test_errors(seen: Seen) -> None:
    """A query that fails is counted with its type, and raises what it raised."""
    Item.objects.create(name="a")
    with pytest.raises(IntegrityError):
        Item.objects.create(name="a")
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM none")
    kinds = {(operation, kind) for operation, _, kind in said(seen)}
    assert kinds == {
        ("INSERT", None),
        ("INSERT", "django.db.utils.IntegrityError"),
        ("SELECT", "django.db.utils.OperationalError"),
    }


def test_whatever_is_executed(seen: Seen) -> None:
    """What is no text is passed on, and counted as a query of unknown operation."""

    class Composed:
        """What a driver may accept."""

    def execute(sql: Any, *_: Any) -> Any:
        return sql

    sql = Composed()
    [timed] = connection.execute_wrappers
    assert timed(execute, sql, None, False, {}) is sql
    assert said(seen) == {(None, None, None): 1}


def test_queries_that_make_no_sense(seen: Seen) -> None:
    """A text that fails to be one is executed all the same, and counted as such."""

    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ZeroDivisionError

    with connection.cursor() as cursor:
        cursor.execute(Text("SELECT 1"))
        assert cursor.fetchone() == (1,)
    assert dtmetrics.stats().invalid == {"statement that makes no sense": 1}


def test_other_wrappers(seen: Seen) -> None:
    """A block with a wrapper, in which the connection is opened, takes away its own."""
    connections.close_all()
    del connections["default"]
    calls = []

    def noting(execute: Any, *args: Any) -> Any:
        calls.append(args[0])
        return execute(*args)

    with connections["default"].execute_wrapper(noting):
        connections["default"].cursor().execute("SELECT 1")
    connections["default"].cursor().execute("SELECT 2")
    assert calls == ["SELECT 1"]
    assert said(seen) == {("SELECT", None, None): 2}
    assert noting not in connections["default"].execute_wrappers


def test_opened_again(seen: Seen) -> None:
    """A connection that is closed and opened again is timed once."""
    for _ in range(3):
        connections["default"].close()
        connections["default"].connect()
    connection.cursor().execute("SELECT 1")
    assert said(seen) == {("SELECT", None, None): 1}


def test_threads_and_tasks(seen: Seen) -> None:
    """Connections of all threads are timed, and those of asynchronous code."""

    def ask() -> None:
        connection.cursor().execute("SELECT 1")
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def asked() -> None:
        async with ThreadSensitiveContext():
            with pytest.raises(OperationalError):  # another database, without a table
                await Item.objects.acount()

    asyncio.run(asked())
    assert said(seen) == {
        ("SELECT", None, None): 4,
        ("SELECT", "shop_item", "django.db.utils.OperationalError"): 1,
    }


def test_databases() -> None:
    """A database is known by what the settings say of it, if they do."""
    settings = {"NAME": "shop", "HOST": "db1", "PORT": 6432, "PASSWORD": "secret"}
    assert _database("postgresql", settings) == ("postgresql", "shop", "db1", "6432")
    assert _database("nosql", {}) == ("nosql", None, None, None)


def test_nobody_configured(seen: Seen) -> None:
    """Queries are passed on while nobody records."""
    dtmetrics.shutdown()
    assert Item.objects.count() == 0

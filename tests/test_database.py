from __future__ import annotations

from typing import Any

import pytest

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._instrument.database import NOT_RECORDED, Database, Operations
from tests.support.recorder import Recorder

SHOP = Database("sqlite", None, None, None)


@pytest.fixture
def operations(recorder: Recorder) -> Operations:
    """Return the operations on a database."""
    return Operations(recorder.meter, SHOP)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("postgresql", "shop", "db1", 6432), "postgresql shop db1 6432"),
        (("postgresql", "shop", "db1", ""), "postgresql shop db1 None"),
        (("postgresql", None, None, None), "postgresql None None None"),
        (("oracle", "xe", "", "1521"), "oracle.db xe None None"),
        (("mssql", "shop", "db", None), "microsoft.sql_server shop db None"),
        (("microsoft", "shop", "db", None), "microsoft.sql_server shop db None"),
        (("mariadb", "shop", "db", None), "mariadb shop db None"),
        (("unknown", "", "", ""), "other_sql None None None"),
        (("sqlite", "/secret/db.sqlite3", "", ""), "sqlite db.sqlite3 None None"),
        (("sqlite", ":memory:", "", ""), "sqlite None None None"),
        (("sqlite", "file:/secret/a.db?mode=ro", "", ""), "sqlite a.db None None"),
        (("sqlite", "file::memory:?cache=shared", "", ""), "sqlite None None None"),
    ],
)
def test_databases(given: tuple[Any, ...], expected: str) -> None:
    """A database is known by its system, its name and its server; not by a path."""
    assert " ".join(map(str, Database.of(*given))) == expected


def test_operations(recorder: Recorder, operations: Operations) -> None:
    """An operation has its name, its table and its error; a batch is called so."""
    operations.note(0.1, "SELECT a FROM t", False)
    operations.note(0.1, "INSERT INTO t VALUES (?)", True)
    operations.note(0.1, b"\xff", True, ZeroDivisionError())
    assert [line.partition(" gauge")[0] for line in recorder.lines()] == [
        "db.client.operation.duration,"
        'db.collection.name=t,db.operation.name="BATCH INSERT",db.system.name=sqlite',
        "db.client.operation.duration,"
        "db.collection.name=t,db.operation.name=SELECT,db.system.name=sqlite",
        "db.client.operation.duration,"
        "db.system.name=sqlite,error.type=ZeroDivisionError",
    ]


def test_what_is_measured(recorder: Recorder, operations: Operations) -> None:
    """Nothing is while nobody records, nor what an exporter asks of a database."""
    assert operations.measured()
    token = SUPPRESSED.set(True)
    assert not operations.measured()
    SUPPRESSED.reset(token)
    recorder.registry.stop()
    assert not operations.measured()


def test_what_makes_no_sense(recorder: Recorder, operations: Operations) -> None:
    """A text that fails to be one is counted as refused, and raises nothing."""

    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ZeroDivisionError

    operations.note(0.1, Text("SELECT 1"), False)
    assert recorder.payloads() == {}
    assert recorder.registry.invalid_values.total() == {NOT_RECORDED: 1}


def test_many(recorder: Recorder, operations: Operations) -> None:
    """What is kept of tables is bounded; each operation is counted all the same."""
    for number in range(10_000):
        operations.note(0.1, f"SELECT a FROM t{number}", False)
    assert len(operations._bound) <= 1024
    points = recorder.points()
    assert len(points) == 2001
    assert sum(point.payload.count for point in points) == 10_000  # type: ignore[union-attr]

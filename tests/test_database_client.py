from __future__ import annotations

from typing import Any

import pytest

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._instrument.database_client import (
    INVALID_STATEMENT,
    Database,
    DatabaseInstruments,
)
from tests.support.recorder import Recorder

SHOP = Database("sqlite", None, None, None)


@pytest.fixture
def instruments(recorder: Recorder) -> DatabaseInstruments:
    """Return the instruments of a database."""
    return DatabaseInstruments(recorder.meter, SHOP)


@pytest.mark.parametrize(
    ("configuration", "expected"),
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
def test_databases(configuration: tuple[Any, ...], expected: str) -> None:
    """A database is identified by system, name and server; never by a directory."""
    assert " ".join(map(str, Database.of(*configuration))) == expected


def test_operations(recorder: Recorder, instruments: DatabaseInstruments) -> None:
    """An operation has its name, table and error; that of a batch begins with BATCH."""
    instruments.record(0.1, "SELECT a FROM t")
    instruments.record(0.1, "INSERT INTO t VALUES (?)", batch=True)
    instruments.record(0.1, b"\xff", batch=True, error=ZeroDivisionError())
    assert [line.partition(" gauge")[0] for line in recorder.lines()] == [
        "db.client.operation.duration,"
        'db.collection.name=t,db.operation.name="BATCH INSERT",db.system.name=sqlite',
        "db.client.operation.duration,"
        "db.collection.name=t,db.operation.name=SELECT,db.system.name=sqlite",
        "db.client.operation.duration,"
        "db.system.name=sqlite,error.type=ZeroDivisionError",
    ]


def test_enabled(recorder: Recorder, instruments: DatabaseInstruments) -> None:
    """Operations are not recorded while recording is off, or those of an exporter."""
    assert instruments.enabled()
    token = SUPPRESSED.set(True)
    assert not instruments.enabled()
    SUPPRESSED.reset(token)
    recorder.registry.stop()
    assert not instruments.enabled()


def test_invalid_statement(
    recorder: Recorder, instruments: DatabaseInstruments
) -> None:
    """A text whose own methods raise is counted as invalid, and raises nothing."""

    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ZeroDivisionError

    instruments.record(0.1, Text("SELECT 1"))
    assert recorder.payloads() == {}
    assert recorder.registry.invalid_values.total() == {INVALID_STATEMENT: 1}


def test_cache_is_bounded(recorder: Recorder, instruments: DatabaseInstruments) -> None:
    """Operations on any number of tables are recorded, but only 1024 are cached."""
    for number in range(10_000):
        instruments.record(0.1, f"SELECT a FROM t{number}")
    assert instruments._bound.cache_info().currsize <= 1024
    points = recorder.points()
    assert len(points) == 2001
    assert sum(point.payload.count for point in points) == 10_000  # type: ignore[union-attr]

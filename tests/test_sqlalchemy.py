from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._instrument.database_client import INVALID_STATEMENT
from dtmetrics._protocol.point import GaugeSummary
from tests.support.recorder import Recorder

sa = pytest.importorskip("sqlalchemy")
ours = pytest.importorskip("dtmetrics.integrations.sqlalchemy")

DURATION = "db.client.operation.duration"
ERROR = "sqlite3.OperationalError"
metadata = sa.MetaData()
items = sa.Table(
    "items",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), unique=True),
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """Return an engine whose database has a table."""
    made = sa.create_engine(
        f"sqlite:///{tmp_path}/shop.db", connect_args={"timeout": 20}
    )
    metadata.create_all(made)
    yield made
    ours.uninstrument_sqlalchemy(made)
    made.dispose()


def recorded(recorder: Recorder) -> Tally[tuple[str, str, str]]:
    """Return the number of operations by name, table and error."""
    counts: Tally[tuple[str, str, str]] = Tally()
    for (key, pairs), payload in recorder.payloads().items():
        if key == DURATION and isinstance(payload, GaugeSummary):
            get = dict(pairs).get
            names = ("db.operation.name", "db.collection.name", "error.type")
            counts[tuple(get(name, "") for name in names)] += payload.count  # type: ignore[index]
    return counts


def test_operations(recorder: Recorder, engine: Any) -> None:
    """Each operation is recorded with its table, and many rows at once as one batch."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.begin() as connection:
        connection.execute(items.insert(), [{"name": str(n)} for n in range(5)])
        connection.execute(sa.select(items)).all()
        connection.execute(items.update().where(items.c.id == 1).values(name="x"))
        connection.execute(items.delete().where(items.c.id.in_([2, 3])))
        other = items.alias()
        connection.execute(sa.select(items).join(other, items.c.id == other.c.id))
        connection.exec_driver_sql("PRAGMA user_version")
    assert recorded(recorder) == {
        ("BATCH INSERT", "items", ""): 1,
        ("SELECT", "items", ""): 1,
        ("UPDATE", "items", ""): 1,
        ("DELETE", "items", ""): 1,
        ("SELECT", "", ""): 1,
        ("PRAGMA", "", ""): 1,
    }


def test_dimensions(recorder: Recorder, engine: Any) -> None:
    """A database has its system and name; that of a file is without its directory."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT name FROM items WHERE name = 'secret'"))
    [line] = recorder.lines()
    assert line.partition(" gauge")[0] == (
        f"{DURATION},db.collection.name=items,db.namespace=shop.db,"
        "db.operation.name=SELECT,db.system.name=sqlite"
    )


class Engine:
    """The parts of an engine that need no driver."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.name = self.url.get_backend_name()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql+psycopg2://u:secret@db.example:5433/shop",
            ("postgresql", "shop", "db.example", "5433"),
        ),
        (
            "mssql+pyodbc://u:secret@db/shop",
            ("microsoft.sql_server", "shop", "db", None),
        ),
        ("oracle+oracledb://u:secret@db:1521", ("oracle.db", None, "db", "1521")),
        ("mysql+pymysql://u:secret@db/shop", ("mysql", "shop", "db", None)),
        ("sqlite://", ("sqlite", None, None, None)),
        ("sqlite:///:memory:", ("sqlite", None, None, None)),
        (
            "sqlite:///file:/secret/a.db?mode=ro&uri=true",
            ("sqlite", "a.db", None, None),
        ),
    ],
)
def test_databases(url: str, expected: tuple[str | None, ...]) -> None:
    """System, database, server and port are those of the URL, without its user."""
    assert ours._database(Engine(url)) == expected


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+psycopg2://u:secret@db.example:5433/shop", "db.example:5433/shop"),
        ("mysql+pymysql://u:secret@db", "db/"),
        ("sqlite:////secret/shop.db", "shop.db"),
        ("sqlite://", "sqlite"),
    ],
)
def test_pool_names(url: str, name: str) -> None:
    """A pool is named by server and database, without user and directory."""
    assert ours._pool_name(Engine(url)) == name


def test_batches(recorder: Recorder, engine: Any) -> None:
    """Several sets of values are a batch; one set, or one statement of many rows, is not."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    insert = "INSERT INTO items (name) VALUES (?)"
    with engine.begin() as connection:
        connection.exec_driver_sql(insert, [("a",), ("b",)])
        with pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql(insert, [("c",), ("a",)])
        connection.exec_driver_sql(insert, [("d",)])
        rows = [{"name": "e"}, {"name": "f"}]
        connection.execute(items.insert().returning(items.c.id), rows)
    assert recorded(recorder) == {
        ("BATCH INSERT", "items", ""): 1,
        ("BATCH INSERT", "items", "sqlite3.IntegrityError"): 1,
        ("INSERT", "items", ""): 2,
    }


def test_exporting(recorder: Recorder, engine: Any) -> None:
    """Operations of an exporter are not recorded."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    token = SUPPRESSED.set(True)
    with engine.connect() as connection:
        connection.execute(sa.select(items))
    SUPPRESSED.reset(token)
    assert recorder.payloads() == {}


def test_invalid_statements(recorder: Recorder, engine: Any) -> None:
    """A text whose own methods raise is executed, and counted as invalid."""

    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ZeroDivisionError

    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(Text("SELECT 1")).scalar() == 1
    assert recorder.registry.invalid_values.total() == {INVALID_STATEMENT: 1}


def test_errors(recorder: Recorder, engine: Any) -> None:
    """A failed operation has the class of the driver's exception; SQLAlchemy's passes."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.connect() as connection:
        with pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.text("SELECT a FROM nowhere"))
        connection.execute(items.insert(), {"id": 1, "name": "a"})
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(items.insert(), {"id": 2, "name": "a"})
        with pytest.raises(sa.exc.StatementError):
            connection.execute(items.insert(), {"id": object()})
    assert recorded(recorder) == {
        ("SELECT", "nowhere", ERROR): 1,
        ("INSERT", "items", ""): 1,
        ("INSERT", "items", "sqlite3.IntegrityError"): 1,
        ("INSERT", "items", "sqlite3.ProgrammingError"): 1,
    }


def test_errors_of_drivers() -> None:
    """An error of an adapted driver has the driver's class, not the adapter's."""

    class Adapted(Exception):
        """The adapter's exception, as for asyncpg."""

    Adapted.__module__ = "sqlalchemy.dialects.postgresql.asyncpg"
    cause = LookupError()
    for error, expected in [(Adapted(), cause), (other := ValueError(), other)]:
        error.__cause__ = cause  # as by `raise ... from`
        assert ours._drivers_error(error) is expected
    assert ours._drivers_error(alone := Adapted()) is alone


def test_no_connection(recorder: Recorder, tmp_path: Path) -> None:
    """An attempt to connect is not an operation."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/none/shop.db")
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with pytest.raises(sa.exc.OperationalError):
        engine.connect()
    assert recorder.payloads() == {}


def test_fetching(recorder: Recorder, engine: Any) -> None:
    """An error while rows are fetched does not belong to the operation."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.create_function(
            "boom", 1, lambda number: number if number < 3 else {}[0]
        )

    engine.dispose()
    with engine.connect() as connection:
        numbers = "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n)"
        rows = connection.exec_driver_sql(f"SELECT boom(x) FROM {numbers}")
        with pytest.raises(sa.exc.OperationalError):
            rows.all()
    assert recorded(recorder) == {("SELECT", "", ""): 1}


def test_twice_and_uninstrumented(recorder: Recorder, engine: Any) -> None:
    """A second instrument call does nothing; the first uninstrument call ends it."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.connect() as connection:
        connection.execute(sa.select(items))
    assert recorded(recorder).total() == 1
    ours.uninstrument_sqlalchemy(engine)
    ours.uninstrument_sqlalchemy(engine)
    with engine.connect() as connection:
        connection.execute(sa.select(items))
    assert recorder.payloads() == {}
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.connect() as connection:
        connection.execute(sa.select(items))
    assert recorded(recorder).total() == 1


def test_uninstrumented_meanwhile(recorder: Recorder, engine: Any) -> None:
    """Statements that run while an engine is uninstrumented do not fail.

    SQLAlchemy cannot remove a listener while it is called.
    """

    def change(*_: object) -> None:
        ours.uninstrument_sqlalchemy(engine)
        ours.instrument_sqlalchemy(engine, meter=recorder.meter)
        ours.uninstrument_sqlalchemy(engine)

    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    for name in ("before_cursor_execute", "after_cursor_execute", "handle_error"):
        sa.event.listen(engine, name, change)
    with engine.connect() as connection:
        connection.execute(sa.select(items))
        ours.instrument_sqlalchemy(engine, meter=recorder.meter)
        with pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.text("SELECT a FROM nowhere"))


@pytest.mark.parametrize("wrong", ["sqlite://", None, 7, sa.MetaData()])
def test_not_an_engine(wrong: Any) -> None:
    """An argument that is not an engine raises a TypeError that names the class."""
    with pytest.raises(TypeError, match="Engine"):
        ours.instrument_sqlalchemy(wrong)
    with pytest.raises(TypeError, match="Engine"):
        ours.uninstrument_sqlalchemy(wrong)


def test_options(recorder: Recorder, engine: Any) -> None:
    """An engine with options is recorded once, whether by itself or by its parent."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    child = engine.execution_options(isolation_level="SERIALIZABLE")
    ours.instrument_sqlalchemy(child, meter=recorder.meter)
    with child.connect() as connection:
        connection.execute(sa.select(items))
        with pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.text("SELECT a FROM nowhere"))
    assert recorded(recorder) == {
        ("SELECT", "items", ""): 1,
        ("SELECT", "nowhere", ERROR): 1,
    }
    for either in (engine, child):
        ours.uninstrument_sqlalchemy(either)
        with child.connect() as connection:
            connection.execute(sa.select(items))
        assert recorded(recorder) == {("SELECT", "items", ""): 1}
        ours.instrument_sqlalchemy(either, meter=recorder.meter)
    ours.uninstrument_sqlalchemy(child)


def test_not_configured(engine: Any) -> None:
    """Without configure() nothing is recorded."""
    recorder = Recorder()
    recorder.registry.stop()
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)
    with engine.connect() as connection:
        connection.execute(sa.select(items))
    assert recorder.points() == []


def test_an_engine_is_freed(recorder: Recorder, tmp_path: Path) -> None:
    """An unused engine is freed, and its pool leaves the gauge."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db")
    ours.instrument_sqlalchemy(engine, pool=True, meter=recorder.meter)
    assert recorder.payloads()
    reference = weakref.ref(engine)
    engine.dispose()
    del engine
    gc.collect()
    assert reference() is None
    assert recorder.payloads() == {}


def test_uninstrumented_first(engine: Any) -> None:
    """Ending the instrumentation of an engine that was never instrumented does nothing."""
    ours.uninstrument_sqlalchemy(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.select(items)).all() == []


def test_pools_of_several_engines(recorder: Recorder) -> None:
    """Pools of one name are added up; an engine freed meanwhile is left out."""
    engines: dict[str, Any] = {}

    class Freeing(sa.pool.QueuePool):
        def checkedout(self) -> int:
            engines.pop("freed", None)
            gc.collect()
            return super().checkedout()

    for name, kind in ("first", Freeing), ("second", Freeing), ("freed", Freeing):
        engines[name] = sa.create_engine("sqlite://", poolclass=kind)
        ours.instrument_sqlalchemy(engines[name], pool=True, meter=recorder.meter)
    with engines["first"].connect(), engines["second"].connect():
        used = [
            payload.value  # type: ignore[union-attr]
            for (_, pairs), payload in recorder.payloads().items()
            if ("db.client.connection.state", "used") in pairs
        ]
    assert used == [2]
    for engine in engines.values():
        engine.dispose()


def test_pool(recorder: Recorder, engine: Any) -> None:
    """A pool shows its used and idle connections."""
    ours.instrument_sqlalchemy(engine, pool=True, meter=recorder.meter)
    connections = [engine.connect() for _ in range(3)]
    connections.pop().close()
    shown: dict[str, Any] = {}
    for (key, pairs), payload in recorder.payloads().items():
        assert key == "db.client.connection.count"
        dimensions = dict(pairs)
        assert dimensions["db.client.connection.pool.name"] == "shop.db"
        shown[dimensions["db.client.connection.state"]] = payload
    assert {state: payload.value for state, payload in shown.items()} == {
        "used": 2,
        "idle": 1,
    }
    for connection in connections:
        connection.close()
    ours.uninstrument_sqlalchemy(engine)
    assert recorder.payloads() == {}


def test_pool_that_does_not_count(recorder: Recorder) -> None:
    """A pool without a count shows nothing."""
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.NullPool)
    ours.instrument_sqlalchemy(engine, pool=True, meter=recorder.meter)
    assert recorder.payloads() == {}
    assert not recorder.registry.invalid_values.total()


def test_threads(recorder: Recorder, engine: Any) -> None:
    """Each of thousands of operations from several threads is recorded once."""
    ours.instrument_sqlalchemy(engine, meter=recorder.meter)

    def work() -> None:
        with engine.connect() as connection:
            for number in range(500):
                connection.execute(sa.select(items).where(items.c.id == number))
                if number % 5 == 0:
                    with suppress(sa.exc.OperationalError):
                        connection.execute(sa.text("DELETE FROM nowhere"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded(recorder) == {
        ("SELECT", "items", ""): 2000,
        ("DELETE", "nowhere", ERROR): 400,
    }


def test_tasks(recorder: Recorder, tmp_path: Path) -> None:
    """Operations of an asynchronous engine are recorded, cancelled ones with that error."""
    pytest.importorskip("aiosqlite")
    extension = pytest.importorskip("sqlalchemy.ext.asyncio")

    async def main() -> None:
        engine = extension.create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path}/shop.db"
        )
        ours.instrument_sqlalchemy(engine, meter=recorder.meter)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        recorded(recorder)

        async def work() -> None:
            async with engine.connect() as connection:
                for _ in range(50):
                    await connection.execute(sa.select(items))
                with suppress(sa.exc.OperationalError):
                    await connection.execute(sa.text("SELECT a FROM nowhere"))

        await asyncio.gather(*(work() for _ in range(5)))
        async with engine.connect() as connection:
            begun = asyncio.get_running_loop().create_future()

            def begin(*_: object) -> None:
                begun.set_result(None)

            sa.event.listen(
                engine.sync_engine, "before_cursor_execute", begin, once=True
            )
            slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3000000) SELECT max(x) FROM n"
            task = asyncio.ensure_future(connection.execute(sa.text(slow)))
            await begun
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        ours.uninstrument_sqlalchemy(engine)
        await engine.dispose()

    asyncio.run(main())
    assert recorded(recorder) == {
        ("SELECT", "items", ""): 250,
        ("SELECT", "nowhere", ERROR): 5,
        ("SELECT", "", "asyncio.exceptions.CancelledError"): 1,
    }

"""Statements by SQLAlchemy, of which the last one fails."""

from contextlib import suppress

from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from dtmetrics import configure
from dtmetrics.integrations.sqlalchemy import instrument_sqlalchemy

configure()
engine = create_engine("sqlite:///shop.sqlite3")
instrument_sqlalchemy(engine, pool=True)

insert = text("INSERT INTO item VALUES (:number)")
with engine.connect() as connection:
    connection.execute(text("CREATE TEMPORARY TABLE item (number INT PRIMARY KEY)"))
    connection.execute(insert, [{"number": 1}, {"number": 2}])
    connection.execute(text("SELECT number FROM item")).all()
    with suppress(IntegrityError):
        connection.execute(insert, {"number": 1})

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._instrument.sql import OPERATIONS, read

# -- statements made around a known table --------------------------------------------

GAP = st.sampled_from(
    [" ", "\n", "\t ", " /* FROM hidden */ ", " -- FROM hidden\n", "/**/ "]
)
PLAIN_NAME = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).map(
    lambda n: f"t_{n}"
)
# Values may look like SQL; quotes in them are doubled.
PIECES = [*"ab'\"`,;()[]-/*:$#% ", " FROM secret ", " JOIN ", "SELECT ", "''"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
VALUE = st.one_of(
    TEXT.map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.sampled_from(
        ["?", ":from", "%(from)s", "%s", "$1", "@from", "7", "1.5e3", "NULL"]
    ),
)
SOUP = st.lists(
    st.sampled_from([*"'\"`\\$#-/*()[];., q", "FROM ", "SELECT ", "INTO ", "x"]),
    max_size=40,
).map("".join)


@st.composite
def quoted(draw: st.DrawFn, name: str) -> str:
    """Write *name* as one of the dialects does."""
    before, after = draw(
        st.sampled_from([("", ""), ('"', '"'), ("`", "`"), ("[", "]")])
    )
    return before + name + after


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, str, str]:
    """Make a statement on one table; return its operation and table as well."""
    parts = draw(st.lists(PLAIN_NAME, min_size=1, max_size=3))
    written = ".".join(draw(quoted(part)) for part in parts)
    value, other = draw(VALUE), draw(VALUE)
    where = draw(
        st.sampled_from(
            ["", "WHERE a = {0}", "WHERE a IN ({0}, {1}) AND b IS DISTINCT FROM {1}"]
        )
    ).format(value, other)
    kind = draw(st.sampled_from(["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"]))
    pieces = {
        "SELECT": [
            "SELECT",
            draw(
                st.sampled_from(
                    [
                        "*",
                        "a, b AS c",
                        f"{value}",
                        f"f({value}, extract(year FROM a)), b",
                    ]
                )
            ),
            "FROM",
            written,
            draw(st.sampled_from(["", "AS x", "x"])),
            where,
            draw(st.sampled_from(["", "ORDER BY a, b LIMIT 3, 4", "FOR UPDATE"])),
        ],
        "INSERT": [
            "INSERT",
            draw(st.sampled_from(["", "OR IGNORE", "IGNORE"])),
            "INTO",
            written,
            "(a, b)",
            "VALUES",
            f"({value}, {other}), ({other}, {value})",
        ],
        "REPLACE": ["REPLACE", "INTO", written, "VALUES", f"({value})"],
        "UPDATE": ["UPDATE", written, "SET", f"a = {value}, b = {other}", where],
        "DELETE": ["DELETE", "FROM", written, where],
    }[kind]
    text = "".join(
        (draw(st.sampled_from([p, p.lower()])) if p.isupper() and p.isalpha() else p)
        + draw(GAP)
        for p in pieces
    )
    return (
        draw(GAP) + text + draw(st.sampled_from(["", ";", " ; "])),
        kind,
        ".".join(parts),
    )


@given(statements())
def test_one_table(made: tuple[str, str, str]) -> None:
    """The table of a statement is found, in any case, quoted, and among comments.

    Where dialects disagree about a value there is no table, but never a wrong one.
    """
    sql, operation, table = made
    found = read(sql)
    assert found.operation == operation
    assert found.table in (table, None)
    if not any(mark in sql for mark in ("#", "$", "'''")) and "--" not in sql.replace(
        "-- ", ""
    ):
        assert found.table == table


@given(st.text(max_size=80) | SOUP)
def test_any_text(sql: str) -> None:
    """Of any text the operation is a known one, and the table consists of its words."""
    operation, table = read(sql)
    assert operation is None or operation in OPERATIONS | {"MERGE"}
    for part in (table or "").split("."):
        assert part in sql


@pytest.mark.parametrize(
    "sql",
    [
        # Many rows into PostgreSQL, by SQLAlchemy and by Django
        "INSERT INTO t (a, b) SELECT p0::VARCHAR, p1 FROM (VALUES (%s, %s), (%s, %s)) "
        "AS x(p0, p1, c) ORDER BY c RETURNING t.id, t.id AS id__1",
        "INSERT INTO t (a, b) SELECT * FROM UNNEST((%s)::int[], (%s)::text[]) "
        "ON CONFLICT DO NOTHING RETURNING t.a, t.b",
        "INSERT INTO t (a) SELECT p0 FROM (VALUES " + "(%s), " * 2000,
        "INSERT INTO t FROM (VALUES (?), (?))",  # DuckDB needs no SELECT
    ],
)
def test_insert_of_selected_rows(sql: str) -> None:
    """An INSERT that selects from its own rows of values has one table."""
    assert read(sql) == ("INSERT", "t")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t, u",
        "SELECT a FROM t JOIN u ON t.a = u.a",
        "SELECT a FROM (SELECT b FROM t) AS x",
        "SELECT a FROM t WHERE b IN (SELECT c FROM u)",
        "SELECT a FROM t UNION SELECT a FROM u",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT * FROM LATERAL f(1)",
        "SELECT a INTO b FROM c",
        "SELECT 1",
        "SELECT a FROM",
        "SELECT a FROM t.",
        "SELECT a FROM %s WHERE b",
        "SELECT a FROM t; DELETE FROM u",
        "INSERT INTO t SELECT * FROM u",
        "INSERT INTO t VALUES ((SELECT max(a) FROM u))",
        "INSERT INTO t SELECT a FROM (VALUES (1)) x, u",
        "INSERT INTO t SELECT a FROM (VALUES (1)) x JOIN u USING (a)",
        "INSERT INTO t SELECT a FROM u, (VALUES (1)) x",
        "INSERT INTO t SELECT a FROM UNNEST(?) x, u",
        "INSERT INTO t SELECT (SELECT max(b) FROM u) FROM UNNEST(?) x",
        "INSERT INTO t VALUES (1); DELETE FROM u",
        "INSERT",
        "UPDATE t SET a = u.a FROM u",
        "UPDATE t, u SET t.a = u.a",
        "DELETE FROM t USING u",
        "DELETE t FROM t JOIN u",
        "CREATE TABLE t (a int)",
        "(SELECT a FROM t)",
    ],
)
def test_no_table(sql: str) -> None:
    """A statement on several tables, or on something else than a table, has none."""
    assert read(sql).table is None
    assert read(sql).operation in OPERATIONS


@pytest.mark.parametrize(
    "sql",
    [
        r"SELECT 'a\' FROM secret' FROM t",
        "SELECT q'[it's FROM secret]' FROM t",
        "SELECT '''a' FROM secret''' FROM t",
        "SELECT $$it's FROM secret$$ FROM t",
        "SELECT $x$it's FROM secret$x$ FROM t",
        "SELECT /* /* */ FROM secret */ a FROM t",
        "SELECT /*! a FROM secret */ FROM t",
        "SELECT a # FROM secret\n FROM t",
        "SELECT 5--1, 'a\n FROM secret'",
        "SELECT 'a FROM secret",
    ],
)
def test_uncertain_values(sql: str) -> None:
    """A statement has no table where dialects disagree about the end of a value."""
    assert read(sql) == ("SELECT", None)


@pytest.mark.parametrize(
    ("sql", "operation"),
    [
        ("WITH x AS (SELECT 1), y AS (DELETE FROM t) INSERT INTO u SELECT 1", "INSERT"),
        ("with x as (select 1) select * from x", "SELECT"),
        ("WITH", None),
        ("COMMIT", "COMMIT"),
        ("pragma table_info('t')", "PRAGMA"),
        ("hunter2", None),
        ("", None),
        (None, None),
        (b"SELECT 1", None),
    ],
)
def test_operations(sql: object, operation: str | None) -> None:
    """An operation is one of a list, in capitals; that of a WITH is the main one."""
    assert read(sql).operation == operation


def test_long() -> None:
    """A long statement has an operation; an INSERT of many rows also has its table."""
    rows = "INSERT INTO t (a) VALUES " + ", ".join(["('x')"] * 2000)
    assert read(rows) == ("INSERT", "t")
    assert read("SELECT a" + ", a" * 2000 + " FROM t") == ("SELECT", None)

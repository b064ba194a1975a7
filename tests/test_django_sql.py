from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("django")

from dtmetrics.django.sql import _OPERATIONS, HEAD, summary_of

STATEMENTS = [
    ('SELECT "shop_item"."id" FROM "shop_item" WHERE "id" = %s', "SELECT shop_item"),
    ("select * from shop_item", "SELECT shop_item"),
    ("  \n-- why\n/* from x */ SELECT 1 FROM [dbo].[Items] x", "SELECT dbo.Items"),
    ("SELECT `a`.`b` FROM `shop`.`items` LIMIT 1", "SELECT shop.items"),
    ("SELECT a FROM x INNER JOIN y ON (x.id = y.id)", "SELECT x"),
    ("SELECT EXTRACT(YEAR FROM d), (SELECT 1 FROM y) FROM x", "SELECT x"),
    ("SELECT COUNT(*) FROM (SELECT 1 FROM y) subquery", "SELECT -"),
    ("(SELECT a FROM x) UNION (SELECT a FROM y)", "SELECT x"),
    ("SELECT * FROM generate_series(1, 3)", "SELECT -"),
    ("SELECT * FROM ONLY x", "SELECT x"),
    ("SELECT * FROM LATERAL x", "SELECT -"),
    ("SELECT ' FROM y' FROM x", "SELECT x"),
    ("SELECT 'it''s FROM y' FROM x", "SELECT x"),
    (r"SELECT 'it\' FROM secret' FROM x", "SELECT -"),
    ("SELECT $a$ FROM secret $a$ FROM x", "SELECT -"),
    ("SELECT 1", "SELECT -"),
    ("SELECT 1 FROM", "SELECT -"),
    ("SELECT 1 FROM 'x'", "SELECT -"),
    ('SELECT 1 FROM "x', "SELECT -"),
    ("SELECT 1 FROM x.", "SELECT -"),
    (f"SELECT 1 FROM {'x' * 129}", "SELECT -"),
    (f"SELECT {'a, ' * HEAD} FROM x", "SELECT -"),
    ('INSERT INTO "shop_item" ("id") VALUES (%s)', "INSERT shop_item"),
    ("INSERT OR IGNORE INTO x VALUES (1)", "INSERT x"),
    ("REPLACE INTO x VALUES (1)", "REPLACE x"),
    ('UPDATE "shop_item" SET "name" = %s', "UPDATE shop_item"),
    ("UPDATE OR IGNORE x SET a = 1", "UPDATE -"),
    ('DELETE FROM "shop_item" WHERE 1 = 1', "DELETE shop_item"),
    ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH -"),
    ('SAVEPOINT "s140177792034496_x1"', "SAVEPOINT -"),
    ("CREATE TABLE x (a integer)", "CREATE -"),
    ("PRAGMA foreign_keys", "PRAGMA -"),
    ("FROBNICATE x", "- -"),
    ("", "- -"),
    ("((", "- -"),
    ("'a' FROM x", "- -"),
]


@pytest.mark.parametrize(("sql", "said"), STATEMENTS)
def test_statements(sql: str, said: str) -> None:
    """A statement has its operation, and the first table where it is plain to see."""
    operation, table = summary_of(sql[:HEAD])
    assert f"{operation or '-'} {table or '-'}" == said


@given(
    st.text(max_size=40), st.sampled_from(["SELECT %s FROM %s x", "INSERT %s", "%s"])
)
def test_no_value_is_told(text: str, form: str) -> None:
    """Whatever a value holds, it is never told, and nothing makes it raise."""
    value = "'{}'".format(text.replace("'", "''"))
    operation, table = summary_of((form.replace("%s", value))[:HEAD])
    assert operation is None or operation in _OPERATIONS
    assert table is None


pieces = st.sampled_from(
    [*"'\"`[]().,;$\\*-/ \n", "SELECT ", " FROM ", "INTO ", "x", "secret", "--", "/*"]
)


@given(st.lists(pieces, max_size=60).map("".join))
def test_any_text(text: Any) -> None:
    """A table is written in the statement as a name, whatever the statement is."""
    _, table = summary_of(text)
    assert table is None or all(part in text for part in re.split(r"\.", table))


def test_what_is_never_closed() -> None:
    """What is opened and never closed costs no more than what is."""
    for text in ("/*" * HEAD, "'" * HEAD, "(" * HEAD, "[" * HEAD, "-" * HEAD):
        summary_of(f"SELECT {text}"[:HEAD])

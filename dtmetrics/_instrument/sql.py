"""Which operation on which table an SQL statement is.

Nothing of a statement's values may ever leave: what cannot be read for certain, in
every dialect, has no table. Nor has what touches several, as the convention wants it
(https://opentelemetry.io/docs/specs/semconv/database/sql/).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from dtmetrics._protocol.point import new

__all__ = ["Statement", "read"]


class Statement(NamedTuple):
    """What is known of a statement."""

    operation: str | None
    table: str | None


# Of longer ones this much is read: 1 to 2 ms on CPython 3.11, once.
_LIMIT = 4096

OPERATIONS = frozenset(
    "ALTER ANALYZE ATTACH BEGIN CALL CLOSE COMMENT COMMIT COPY CREATE DEALLOCATE "  # noqa: SIM905
    "DECLARE DELETE DESCRIBE DETACH DISCARD DROP EXEC EXECUTE EXPLAIN FETCH GRANT "
    "INSERT KILL LISTEN LOAD LOCK MERGE NOTIFY OPTIMIZE PRAGMA PREPARE REFRESH REINDEX "
    "RELEASE RENAME REPLACE REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW START TRUNCATE "
    "UNLISTEN UNLOCK UPDATE USE VACUUM VALUES".split()
)

# After the tables of FROM.
_CLAUSES = frozenset(
    "WHERE GROUP ORDER HAVING LIMIT OFFSET FETCH FOR WINDOW RETURNING SET".split()  # noqa: SIM905
)
# That there is more than one table.
_MORE = frozenset(
    "SELECT JOIN STRAIGHT_JOIN APPLY UNION INTERSECT EXCEPT MINUS USING TABLE".split()  # noqa: SIM905
)
# What stands before a table, and what else may stand in its place.
_BEFORE = frozenset("ONLY IGNORE LOW_PRIORITY DELAYED HIGH_PRIORITY QUICK".split())  # noqa: SIM905
_NO_TABLE = _CLAUSES | _MORE | frozenset(("LATERAL", "UNNEST", "VALUES", "AS", "ON"))

# Each alternative is tried at one place and never goes back over more than it took, so
# the time is linear. What none takes is in doubt: there dialects disagree where a text
# or a comment ends, and beyond it a value might look like a table. Such are a backslash
# in a text, Oracle's q'[..]', BigQuery's '''..''', PostgreSQL's $$..$$ and nested
# comments, MySQL's #, /*! and -- without a space.
#
# A list of nothing but values is one token: IN (...) may have thousands.
_VALUE = r"""
    (?: '(?!'')[^'\\]*' | \d[\w.]* | ::?\w+ | @+\w+ | %\([^()'"]*\)s | %s | \? | \$\d+ )
"""
_TOKEN = re.compile(
    rf"""
    \s*
    (?:
    (?P<comment> --(?=\s|\Z)[^\n]* | /\*(?!!)(?:[^*/]|\*(?!/)|/(?!\*))*\*/ )
    | (?P<word> (?![nN]?[qQ]')[^\W\d][\w$]* )
    | (?P<values> \( \s* {_VALUE} (?:\s*,\s*{_VALUE})* \s* \) )
    | (?P<mark> [(),;.] )
    | (?P<value> {_VALUE} )
    | (?P<quoted> "[^"\\]*" | `[^`\\]*` | \[[^\]\[\\'"`]*\] )
    | (?P<other> (?!--|/\*)[^\w\s'"`\[\\\#$(),;.] )
    )
    """,
    re.VERBOSE,
)
_PLAIN = re.compile(r"[\w$ -]+")


class _Token(NamedTuple):
    """A word in capitals, a mark, or nothing that anybody asks for, and its depth."""

    said: str
    name: str  # as it was written, if it may be one of a table
    depth: int


def read(sql: object) -> Statement:
    """Return the operation and the table of *sql*, as far as they are certain.

    >>> read("SELECT id FROM orders WHERE id = 7")
    Statement(operation='SELECT', table='orders')
    """
    if not isinstance(sql, str):
        return Statement(None, None)
    return _read(sql) if len(sql) <= _LIMIT else _read(sql[:_LIMIT], whole=False)


@lru_cache(512)
def _read(sql: str, *, whole: bool = True) -> Statement:
    tokens, certain = _tokens(sql)
    operation = next(
        (each.said for each in tokens if each.said != "("),
        None,
    )
    if operation == "WITH":
        found = (each.said for each in tokens if not each.depth)
        operation = next((said for said in found if said in _AFTER_WITH), None)
        return Statement(operation, None)
    if operation not in OPERATIONS:
        return Statement(None, None)
    find = _FIND.get(operation) if tokens[0].said == operation else None
    table = None if find is None else find(tokens, certain and whole)
    return Statement(operation, table)


_AFTER_WITH = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"))


def _tokens(sql: str) -> tuple[list[_Token], bool]:
    """Return what *sql* consists of, and whether that is all of it."""
    tokens: list[_Token] = []
    sql = sql.rstrip()
    depth = place = 0
    for match in _TOKEN.finditer(sql):
        start, end = match.span()
        if start != place:  # it went over something
            return tokens, False
        place = end
        kind: Any = match.lastgroup
        text = match[kind]
        said = name = ""
        if kind == "word":
            said, name = text.upper(), text
        elif kind == "mark":
            said = text
            depth -= text == ")"
        elif kind == "values":
            said = "("
        elif kind == "comment":
            continue
        elif kind == "quoted" and _PLAIN.fullmatch(text, 1, len(text) - 1):
            name = text[1:-1]
        # A NamedTuple's own way to be made costs three times as much.
        tokens.append(new(_Token, (said, name, depth)))
        depth += text == "("
    if tokens and tokens[-1].said == ";":
        tokens.pop()
    return tokens, place == len(sql) and depth == 0


# -- where the table stands ----------------------------------------------------------


def _of_select(tokens: Sequence[_Token], whole: bool) -> str | None:
    return _after_from(tokens, _froms(tokens)) if whole else None


def _of_delete(tokens: Sequence[_Token], whole: bool) -> str | None:
    froms = _froms(tokens)
    # DELETE a FROM a JOIN b: MySQL's way to name several.
    between = tokens[1 : froms[0]] if froms else ()
    if not whole or any(each.said not in _BEFORE for each in between):
        return None
    return _after_from(tokens, froms)


def _of_update(tokens: Sequence[_Token], whole: bool) -> str | None:
    start = 3 if len(tokens) > 1 and tokens[1].said == "OR" else 1
    if not whole or _froms(tokens) or _several(tokens, start):
        return None
    return _table(tokens, start)


def _of_insert(tokens: Sequence[_Token], whole: bool) -> str | None:
    said = [each.said for each in tokens]
    head = said[1:4]
    if "INTO" not in head:
        return None
    start = head.index("INTO") + 2
    end = _rows(said)
    if end is None:
        if not whole:
            return None
        end = len(said)
    before, behind = said[start:end], said[end:]
    if before[-1:] == ["FROM"] or before[-2:] == ["FROM", "("]:
        # PostgreSQL's way: INSERT INTO a SELECT b FROM (VALUES ...) or UNNEST(...)
        if "SELECT" not in before or _listed(tokens, end):
            return None
        before.remove("SELECT")
    if _MORE.intersection(before + behind) or ";" in behind:
        return None
    return _table(tokens, start, before_list=True)


def _rows(said: Sequence[str]) -> int | None:
    """Return where the rows begin that an INSERT brings along, if it does.

    They may be many, and hold anything.
    """
    for place, word in enumerate(said):
        if word == "VALUES" or (word == "UNNEST" and said[place - 1] == "FROM"):
            return place
    return None


_FIND = {
    "SELECT": _of_select,
    "DELETE": _of_delete,
    "UPDATE": _of_update,
    "INSERT": _of_insert,
    "REPLACE": _of_insert,
}


def _froms(tokens: Sequence[_Token]) -> list[int]:
    return [
        place
        for place, each in enumerate(tokens)
        if each.said == "FROM"
        and not each.depth
        and tokens[place - 1].said != "DISTINCT"  # IS DISTINCT FROM
    ]


def _after_from(tokens: Sequence[_Token], froms: list[int]) -> str | None:
    if len(froms) != 1 or _several(tokens, froms[0] + 1):
        return None
    if any(each.said == "INTO" for each in tokens):
        return None
    return _table(tokens, froms[0] + 1)


def _several(tokens: Sequence[_Token], start: int) -> bool:
    """Say whether a statement may touch more tables than the one at *start*."""
    more = any(each.said in _MORE or each.said == ";" for each in tokens[1:])
    return more or _listed(tokens, start)


def _listed(tokens: Sequence[_Token], start: int) -> bool:
    """Say whether there is a comma between the tables at *start*."""
    for each in tokens[start:]:
        if each.said in _CLAUSES and not each.depth:
            return False
        if each.said == "," and not each.depth:
            return True
    return False


def _table(
    tokens: Sequence[_Token], start: int, *, before_list: bool = False
) -> str | None:
    """Return the name at *start*, with its schema, unless it is something else."""
    while start < len(tokens) and tokens[start].said in _BEFORE:
        start += 1
    parts = []
    after = "."
    while after == ".":
        if start >= len(tokens):
            return None
        each = tokens[start]
        if not each.name or each.said in _NO_TABLE:
            return None
        parts.append(each.name)
        after = tokens[start + 1].said if start + 1 < len(tokens) else ""
        start += 2
    if after == "(" and not before_list:  # a function
        return None
    return ".".join(parts)

"""What is said of an SQL statement: its operation and its table, never more."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["HEAD", "summary_of"]

#: As much of a statement is looked at. What Django writes names its table before.
HEAD = 4096
_LONGEST_NAME = 128

# Each token is passed once: what is not closed ends with the text.
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<value>'[^']*(?:'|\Z))
    | (?P<quoted>"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z))
    | (?P<word>[^\W\d]\w*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_OPERATIONS = frozenset(
    "ALTER ANALYZE BEGIN CALL CLOSE COMMIT COPY CREATE DECLARE DELETE DROP EXEC "  # noqa: SIM905
    "EXECUTE EXPLAIN FETCH GRANT INSERT LOCK MERGE PRAGMA REINDEX RELEASE REPLACE "
    "REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW START TRUNCATE UPDATE USE VACUUM "
    "VALUES WITH".split()
)
# After which word the table comes.
_BEFORE_TABLE = {
    "DELETE": "FROM",
    "INSERT": "INTO",
    "MERGE": "INTO",
    "REPLACE": "INTO",
    "SELECT": "FROM",
    "UPDATE": "UPDATE",
}
_NO_TABLES = frozenset(("LATERAL", "OR", "SELECT", "TABLE", "VALUES"))

Token = tuple[str | None, str]


@lru_cache(1024)
def summary_of(head: str) -> tuple[str | None, str | None]:
    """Return the operation, and the table where it is plain, of a statement.

    *head* is its text up to `HEAD`. Of several tables it is the one that comes first,
    as in a join. A subquery, a function or whatever is written unusually has none.
    """
    tokens = [
        (found.lastgroup, found[0])
        for found in _TOKEN.finditer(head)
        if found.lastgroup != "space"
    ]
    start = next((i for i, token in enumerate(tokens) if token[1] != "("), 0)
    if not tokens or tokens[start][0] != "word":
        return None, None
    operation = tokens[start][1].upper()
    if operation not in _OPERATIONS:
        return None, None
    before = _BEFORE_TABLE.get(operation)
    at = _after(tokens[start:], before) if before else None
    return operation, None if at is None else _name(tokens[start:][at:], before)


def _after(tokens: list[Token], word: str) -> int | None:
    """Return where the statement goes on after *word*, outside of parentheses."""
    depth = 0
    for at, (kind, text) in enumerate(tokens):
        # Which characters these escape or quote depends on the database.
        if "\\" in text or text == "$":
            return None
        if text in ("(", ")"):
            depth += 1 if text == "(" else -1
            if depth < 0:
                return None
        elif kind == "word" and not depth and text.upper() == word:
            return at + 1
    return None


def _name(tokens: list[Token], before: str | None) -> str | None:
    """Return the name that *tokens* begin with, with its schema."""
    if tokens and tokens[0][1].upper() == "ONLY":
        tokens = tokens[1:]
    parts: list[str] = []
    followed = [*tokens[1::2], (None, "")]
    for (kind, text), (_, after) in zip(tokens[::2], followed, strict=False):
        if kind == "quoted" and len(text) > 2 and text[-1] in '"`]':
            parts.append(text[1:-1])
        elif kind == "word" and text.upper() not in _NO_TABLES:
            parts.append(text)
        else:
            return None
        if after != ".":
            called = before == "FROM" and after == "("
            name = ".".join(parts)
            return None if called or len(name) > _LONGEST_NAME else name
    return None

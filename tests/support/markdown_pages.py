"""The pages of the guide: their titles, links, tables and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Block", "anchors", "blocks", "links", "prose", "tables", "titles"]

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"(?:^<!-- run: (?P<name>\S+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^(?P<level>#+) (?P<text>.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(https?://[^>\s]+)>")


class Block(NamedTuple):
    """A block of code, and the heading that it stands under."""

    heading: str
    language: str
    code: str
    line: int
    #: The file name under which a reader runs it; empty if it is not a whole program.
    name: str
    #: What the block of text directly below it says that it prints, or None.
    prints: str | None


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of code of *page*."""
    found = list(_FENCE.finditer(page))
    for place, match in enumerate(found):
        headings = _HEADING.findall(prose(page[: match.start()]))
        after = found[place + 1] if place + 1 < len(found) else None
        below = after and after["language"] == "text" and not after["name"]
        adjoins = after and not page[match.end() : after.start()].strip()
        yield Block(
            heading=headings[-1][1] if headings else "",
            language=match["language"],
            code=match["code"],
            line=page[: match.start()].count("\n") + 1,
            name=match["name"] or "",
            prints=after["code"] if after and below and adjoins else None,
        )


def prose(page: str) -> str:
    """Return *page* without its blocks of code, at the same lines."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page)


def titles(page: str) -> list[str]:
    """Return the headings of the first level."""
    return [text for level, text in _HEADING.findall(prose(page)) if level == "#"]


def links(page: str) -> list[str]:
    """Return the target of each link and each picture."""
    return [first or second for first, second in _LINK.findall(prose(page))]


def anchors(page: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and the site make them."""
    texts = [text for _, text in _HEADING.findall(prose(page))]
    plain = [re.sub(r"[^\w\- ]", "", text.lower()) for text in texts]
    return {re.sub(r" +", "-", text.strip()) for text in plain}


def tables(page: str, heading: str) -> list[list[list[str]]]:
    """Return the tables whose first cell is *heading*: rows of cells, without marks."""
    found: list[list[list[str]]] = []
    inside = False
    for line in prose(page).splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("| ").split("|")]
        if not line.startswith("|"):
            inside = False
        elif inside:
            found[-1].append(cells)
        elif cells[0] == heading:
            found.append([])
            inside = True
    return [rows[1:] for rows in found]  # without the rule below the heading

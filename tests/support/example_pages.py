"""The how-to pages in ``examples/``, and the programs that they explain."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.markdown_pages import ROOT, blocks, links, tables, titles
from tests.support.protocol_grammar import lines_of

EXAMPLES = ROOT / "examples"
FOLDERS = ("libraries", "platforms", "web")

_IN_EACH_LINE = re.compile(r"Each line also\s+has `([\w.]+)=")


class ExamplePage:
    """The page *name*, such as ``web/django``."""

    def __init__(self, name: str) -> None:
        self.path = EXAMPLES / f"{name}.md"
        self.folder = self.path.parent
        self.text = self.path.read_text("utf-8")

    @property
    def title(self) -> str:
        """The title."""
        [title] = titles(self.text)
        return title

    @property
    def programs(self) -> list[Path]:
        """The files that the page links to, other than pages: it must show each."""
        paths = [self.folder / link for link in links(self.text) if "/" not in link]
        return [path for path in paths if path.is_file() and path.suffix != ".md"]

    @property
    def shown(self) -> list[str]:
        """The blocks of code."""
        return [block.code for block in blocks(self.text)]

    def part(self, beginning: str) -> str:
        """Return the block of Python that begins with *beginning*."""
        [found] = [code for code in self.shown if code.startswith(beginning)]
        return found

    def command(self, program: str) -> list[str]:
        """Return the command of *program* that the page shows."""
        [found] = [
            line
            for block in blocks(self.text)
            if block.language == "console"
            for line in block.code.splitlines()
            if line.startswith(f"{program} ") and not line.startswith("python -m pip ")
        ]
        return shlex.split(found)

    def table(self, heading: str) -> list[list[str]]:
        """Return the rows of the table whose first cell is *heading*."""
        [rows] = tables(self.text, heading)
        return rows

    def options(self) -> set[str]:
        """Return the options in the page's table."""
        return {row[0] for row in self.table("option")}

    def arrives(self) -> dict[str, set[str]]:
        """Return the keys of the dimensions by metric key, as the page lists them."""
        every = _IN_EACH_LINE.findall(self.text)
        return {
            row[0]: {*row[-1].split(", "), *every} - {"none"}
            for row in self.table("key")
        }

    def check(self, lines: Iterable[str], *, missing: Iterable[str] = ()) -> None:
        """Assert that *lines* have the keys and the dimensions that the page lists.

        Dimensions that are *missing* need a case that the program does not have.
        """
        arrived: defaultdict[str, set[str]] = defaultdict(set)
        for line in lines_of(lines):
            arrived[line.key] |= line.dimensions.keys() - {"dt.metrics.source"}
        listed = self.arrives()
        assert arrived.keys() == listed.keys()
        for key, dimensions in listed.items():
            assert arrived[key] == dimensions - {*missing}, key

    def run(
        self, endpoint: Endpoint, place: Path, *arguments: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the page's command of Python in the directory *place*.

        *arguments* replace those of the command.
        """
        _, program, *shown = self.command("python")
        assert len(shown) == len(arguments)
        return subprocess.run(
            [sys.executable, str(self.folder / program), *arguments],
            cwd=place,
            env=environment(endpoint, **environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )


def environment(endpoint: Endpoint, **more: str) -> dict[str, str]:
    """Return the environment of a program that sends to *endpoint*."""
    return {
        **os.environ,
        "DTMETRICS_ENDPOINT": endpoint.url,
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }

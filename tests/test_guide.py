"""The guide: the form of its pages, their links and programs, and its site."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import dtmetrics
from dtmetrics._config import environment
from tests.support.endpoint import Endpoint, answer, refusing_port
from tests.support.markdown_pages import (
    ROOT,
    Block,
    anchors,
    blocks,
    links,
    prose,
    tables,
    titles,
)
from tests.support.receiver_process import ReceiverProcess, receiver_process

GUIDE = ROOT / "examples"
PAGES = {path.relative_to(GUIDE).as_posix(): path for path in GUIDE.rglob("*.md")}
TEXTS = {name: path.read_text("utf-8") for name, path in PAGES.items()}

#: Whole programs by page and line. The tutorial's are steps, with a test of their own.
PROGRAMS: dict[str, Block] = {
    f"{name}:{block.line}": block
    for name, text in TEXTS.items()
    if name != "tutorial.md"
    for block in blocks(text)
    if block.name
}

IMPERATIVES = {
    "Add", "Build", "Configure", "Count", "Deliver", "Deploy", "Find", "Get", "Instrument",
    "Measure", "Record", "Run", "See", "Send", "Set", "Start", "Stop", "Test", "Time",
    "Use", "Write",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PAGES))
def test_title(name: str) -> None:
    """A page has one title: the question that it answers, or the task that it is for."""
    [title] = titles(TEXTS[name])
    assert title.endswith("?") or title.split()[0] in IMPERATIVES
    assert TEXTS[name].startswith(f"# {title}\n")


def test_titles_differ() -> None:
    """No two pages have the same title."""
    found = [title for text in TEXTS.values() for title in titles(text)]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", sorted(PAGES))
def test_relative_links(name: str) -> None:
    """A relative link leads to a file of the guide, and to a heading that the file has."""
    for link in links(TEXTS[name]):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (PAGES[name].parent / path).resolve() if path else PAGES[name]
        # Not beyond the guide: such a link is broken on the site.
        assert target.is_file(), link
        assert target.is_relative_to(GUIDE), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def test_every_page_is_in_the_index() -> None:
    """The index links to every other page."""
    linked = {link for link in links(TEXTS["README.md"]) if link.endswith(".md")}
    assert linked == PAGES.keys() - {"README.md"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_python_compiles(name: str) -> None:
    """Each block of Python compiles, also those that are only a part of a program."""
    for block in blocks(TEXTS[name]):
        if block.language == "python":
            compile(block.code, f"{name}:{block.line}", "exec", dont_inherit=True)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_languages(name: str) -> None:
    """Each block of code names its language, so that the site can highlight it."""
    assert all(block.language for block in blocks(TEXTS[name]))
    assert "```" not in prose(TEXTS[name])


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverProcess]:
    """Return the receiver of all programs: what they send is valid, or it is rejected."""
    with receiver_process() as running:
        yield running


@pytest.mark.parametrize("place", sorted(PROGRAMS))
def test_program(place: str, receiver: ReceiverProcess, tmp_path: Path) -> None:
    """Each whole program runs as it stands, and prints what the page says."""
    program = PROGRAMS[place]
    path = tmp_path / program.name
    path.write_text(program.code, "utf-8")
    is_test = program.name.startswith("test_")
    # The name of the module, and no plugins of this suite.
    pytest_run = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    done = receiver.run(path, python=pytest_run if is_test else ())
    assert done.returncode == 0, done.stdout + done.stderr
    assert program.prints in (None, done.stdout)
    receiver.series()  # asserts that no line was rejected


def test_variables() -> None:
    """The page about settings lists the variables that are read, with their settings."""
    listed = {
        variable: setting.split(":")[0].split(",")[0]
        for rows in tables(TEXTS["configuration.md"], "variable")
        for variables, setting in rows
        for variable in variables.split(", ")
    }
    assert listed == environment._VARIABLES


@pytest.mark.parametrize(
    "status", [200, 302, 400, 401, 403, 404, 405, 407, 413, 415, 429, 503]
)
def test_reason_of_a_status(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A status is logged in the words by which "Why does nothing arrive?" lists it."""
    with Endpoint(answer(status, "<html>")) as endpoint:
        dtmetrics.configure(endpoint=endpoint.url, interval=None)
        dtmetrics.counter("orders").inc()
        assert not dtmetrics.flush()
    assert f"status {status} at " in caplog.text
    assert f"status {status} at HOST" in reasons()


def test_reason_of_a_refused_connection(caplog: pytest.LogCaptureFixture) -> None:
    """A closed port is logged in the words by which "Why does nothing arrive?" lists it."""
    caplog.set_level(logging.INFO)
    dtmetrics.configure(endpoint=f"http://localhost:{refusing_port()}", interval=None)
    dtmetrics.counter("orders").inc()
    assert not dtmetrics.flush()
    assert "ConnectError at localhost:" in caplog.text
    assert "ConnectError at localhost:14499" in reasons()


def test_reason_of_a_certificate(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown certificate is logged as "Why does nothing arrive?" lists it."""
    with Endpoint(tls=tls) as endpoint:
        dtmetrics.configure(endpoint=endpoint.url, token="abc", interval=None)
        dtmetrics.counter("orders").inc()
        assert not dtmetrics.flush()
    assert "SSLCertVerificationError at " in caplog.text
    assert "SSLCertVerificationError at HOST" in reasons()


def reasons() -> str:
    """Return the first column of the table of reasons."""
    [rows] = tables(TEXTS["nothing-arrives.md"], "in the log")
    return "\n".join(row[0] for row in rows)


class Resources(HTMLParser):
    """What a browser loads to show a page: scripts, styles, pictures, fonts, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of what *tag* loads."""
        values = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "source", "video"):
            self.found.append(values.get("src", ""))
        elif tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(values.get("href", ""))


def test_site(tmp_path: Path) -> None:
    """The site builds without a warning, has every page, and loads nothing from elsewhere."""
    for needed in ("mkdocs", "material", "mkdocstrings", "griffe_sphinx"):
        if not importlib.util.find_spec(needed):
            pytest.skip(f"{needed} is not installed: pip install -e '.[docs]'")
    config = ROOT / ".github" / "mkdocs.yml"
    command = [
        "build",
        "--strict",
        "--config-file",
        str(config),
        "--site-dir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *command],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in PAGES:
        page = Path(name).with_suffix("")
        folder = page.parent if page.name == "README" else page
        html = (tmp_path / folder / "index.html").read_text("utf-8")
        resources = Resources()
        resources.feed(html)
        foreign = [each for each in resources.found if re.match("(https?:)?//", each)]
        assert foreign == [], name


def test_reference_has_every_public_name() -> None:
    """The reference has each name of the front door, and each integration."""
    page = TEXTS["reference.md"]
    modules = [*(ROOT / "dtmetrics" / "integrations").iterdir()]
    names = {path.stem for path in modules if not path.name.startswith("_")}
    exported = {"ConsoleExporter", "MemoryExporter"}  # in the module of exporters
    missing = [
        name
        for name in {*dtmetrics.__all__} - exported | names
        if not re.search(
            rf"(^::: \S+\.|^      heading: |`){name}(`|$)", page, re.MULTILINE
        )
    ]
    assert missing == []

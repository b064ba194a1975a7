"""The README: its length, its links, and each of its programs as it stands."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.markdown_pages import ROOT, Block, blocks, links
from tests.support.receiver_process import ReceiverProcess, receiver_process

README = (ROOT / "README.md").read_text("utf-8")
PROGRAMS = {each.heading: each for each in blocks(README) if each.language == "python"}

SITE = "https://dtmetrics.github.io/dtmetrics/"
FILES = "https://github.com/dtmetrics/dtmetrics/blob/main/"
RAW = "https://raw.githubusercontent.com/dtmetrics/dtmetrics/main/"

#: What must arrive: by the heading of the program, totals of keys and dimensions.
EXPECTED: dict[str, dict[tuple[str, str, str], int]] = {
    "A first program": {
        ("orders.placed", "region", "eu"): 5,
        ("orders.placed", "region", "us"): 5,
        ("checkout.duration", "dt.metrics.source", "dtmetrics"): 10,
    },
    "Decorate": {
        ("function.duration", "code.function.name", "__main__.total"): 1,
        ("fetch.duration", "region", "eu"): 1,
        ("jobs.run", "dt.metrics.source", "dtmetrics"): 1,
        ("jobs.active", "dt.metrics.source", "dtmetrics"): 1,
    },
    "Wrap a block": {
        ("render.duration", "kind", "page"): 1,
        ("uploads.active", "dt.metrics.source", "dtmetrics"): 1,
        ("imports.run", "tenant", "acme"): 1,
    },
    "Record values": {
        ("bytes.sent", "region", "eu"): 1500,
        ("queue.depth", "dt.metrics.source", "dtmetrics"): 1,
        ("cart.value", "dt.metrics.source", "dtmetrics"): 1,
        ("pool.size", "dt.metrics.source", "dtmetrics"): 1,
        ("cache.hits", "cache", "memory"): 1,
    },
    "Measure a web application": {},
    "Configure": {},
}

#: What a program needs besides dtmetrics.
NEEDS = {"Measure a web application": "fastapi"}

# Runs a program of the README and makes a request to its application.
REQUEST = """
import asyncio, runpy

import httpx

app = runpy.run_path("program.py")["app"]

async def request():
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.get("/items/7")).json() == {"number": 7}
        await client.get("/health")

asyncio.run(request())
"""


@pytest.fixture
def receiver() -> Iterator[ReceiverProcess]:
    """Return a receiver for this test alone."""
    with receiver_process() as running:
        yield running


def saved(block: Block, directory: Path) -> Path:
    """Save the program that *block* is; skip the test if a framework is missing."""
    needs = NEEDS.get(block.heading)
    if needs and not importlib.util.find_spec(needs):
        pytest.skip(f"{needs} is not installed")
    path = directory / "program.py"
    path.write_text(block.code, "utf-8")
    return path


def test_every_program_is_tested() -> None:
    """Each Python block of the README stands under a heading of its own, and has a test."""
    assert PROGRAMS.keys() == EXPECTED.keys()
    assert len(PROGRAMS) == README.count("```python")


@pytest.mark.parametrize("heading", sorted(EXPECTED))
def test_program(heading: str, receiver: ReceiverProcess, tmp_path: Path) -> None:
    """Each program of the README runs as it stands, and what it records arrives."""
    done = receiver.run(saved(PROGRAMS[heading], tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    for (key, dimension, value), total in EXPECTED[heading].items():
        assert receiver.total(key, **{dimension: value}) == total


def test_web_application(receiver: ReceiverProcess, tmp_path: Path) -> None:
    """The application of the README records a request by its route, and leaves out /health."""
    saved(PROGRAMS["Measure a web application"], tmp_path)
    driver = tmp_path / "driver.py"
    driver.write_text(REQUEST, "utf-8")
    done = receiver.run(driver)
    assert (done.returncode, done.stderr) == (0, "")
    key, route = "http.server.request.duration", {"http.route": "/items/{number}"}
    assert receiver.total(key, service="shop", **route) == 1
    assert receiver.total(key) == 1


def test_length() -> None:
    """The README has at most 1,200 words."""
    assert len(README.split()) <= 1_200


def test_set_up_commands() -> None:
    """The README has the two commands that set up a checkout, word for word."""
    lines = README.splitlines()
    assert 'python -m pip install -e ".[receiver]" && python -m dtmetrics demo' in lines
    assert 'python -m pip install -e ".[test]" && python -m pytest' in lines


def test_links() -> None:
    """Links are absolute, because a package index shows the page, and lead to what exists."""
    found = links(README)
    assert [
        link for link in found if not link.startswith(("https://", "http://127."))
    ] == []
    for link in found:
        for base in (FILES, RAW):
            if link.startswith(base):
                assert (ROOT / link.removeprefix(base)).exists(), link
        if link.startswith(SITE):
            page = link.removeprefix(SITE).rstrip("/") or "README"
            assert re.fullmatch(r"[a-z/-]+|README", page), link
            assert (ROOT / "examples" / f"{page}.md").exists(), link

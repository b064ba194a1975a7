from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics.receiver.page import STYLE_SOURCE, render
from dtmetrics.receiver.store import SeriesView, Snapshot, StatsView
from tests.support.receiver_client import post, served
from tests.support.strategies import texts

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></tr></table><script src=//evil.example></script>",
    "<img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "--><svg onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "javascript:alert(1)",
    "<!doctype html>",
]

STATS: StatsView = {
    "requests": 5,
    "requests_refused": 1,
    "accepted": 3,
    "invalid": 2,
    "warnings": 4,
}


class Read(HTMLParser):
    """What a browser would make of a page: its elements, and the text of each cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.cells: list[str] = []
        self.others: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}", []))

    def handle_data(self, data: str) -> None:
        if self.cells and self.elements[-1][0] == "td":
            self.cells[-1] += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


def page_of(key: str, dimension: str, value: str, unit: str, reason: str) -> Read:
    """Render a page of one series and one refused line; read it."""
    series: SeriesView = {
        "key": key,
        "kind": "gauge",
        "dimensions": {dimension: value, "fixed": "x"},
        "points": 2,
        "count": 3,
        "sum": 0.5,
        "min": None,
        "max": 10**20,
        "last": -1,
        "metadata": {"dt.meta.unit": unit, "dt.meta.description": reason},
    }
    snapshot: Snapshot = {
        "series": [series],
        "invalid": [{"at_ms": 0, "line": 7, "error": reason}],
        "warnings": [reason],
    }
    return Read(render(snapshot, STATS))


anything = texts | st.sampled_from(HOSTILE)


@given(anything, anything, anything, anything, anything)
def test_nothing_is_markup(
    key: str, dimension: str, value: str, unit: str, reason: str
) -> None:
    """Whatever keys, values, units and reasons hold, a browser shows it as text."""
    read = page_of(key, dimension, value, unit, reason)
    plain = page_of("a", "b", "c", "d", "e")
    assert read.elements == plain.elements
    assert read.others == []
    shown = {} if dimension == "fixed" else {dimension: value}
    pairs = ", ".join(f"{k}={v}" for k, v in {**shown, "fixed": "x"}.items())
    assert read.cells == [
        key,
        "gauge",
        pairs,
        *("2", "3", "0.5", "overflow", "100000000000000000000", "-1"),
        unit,
        "7",
        reason,
        reason,
    ]


def test_has_no_script() -> None:
    """The page consists of text and tables: nothing in it is run, loaded or linked."""
    read = page_of(*HOSTILE[:5])
    names = {name.strip("/") for name, _ in read.elements}
    assert names == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    attributes = {name for _, pairs in read.elements for name, _ in pairs}
    assert attributes == {"lang", "charset", "name", "content", "class"}


def test_style_is_the_one_that_is_allowed() -> None:
    """The policy allows the page's own style by its hash, and so no other."""
    page = render({"series": [], "invalid": [], "warnings": []}, STATS)
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" == STYLE_SOURCE


def test_latest_refusal_first() -> None:
    """Of refused lines the latest is on top."""
    lines = [{"at_ms": n, "line": n, "error": f"reason {n}"} for n in range(3)]
    read = Read(render({"series": [], "invalid": lines, "warnings": []}, STATS))  # type: ignore[typeddict-item]
    assert read.cells[1::2] == ["reason 2", "reason 1", "reason 0"]


def test_page_is_text() -> None:
    """Nothing of what arrives becomes markup, in a good line or in a bad one."""
    hostile = '<script>alert(1)</script><img src="x">'
    with served() as client:
        quoted = hostile.replace('"', '\\"')
        post(client, f'a,b="{quoted}" 1\n{hostile}\n#a gauge dt.meta.unit=<b>'.encode())
        page = client.get("/")
        assert "a" in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        for tag in ("<script", "<img", "<b>"):
            assert tag not in page.text
        assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_page_is_bounded() -> None:
    """The page shows the first 500 series, and says how many it leaves out."""
    with served() as client:
        post(client, b"".join(b"a%d 1\n" % number for number in range(600)))
        page = client.get("/").text
        assert "<h2>600 series</h2>" in page
        assert "100 more are not shown" in page


def test_page_shows_any_number() -> None:
    """Long fractions are cut on the page, and what no double holds is named so."""
    with served() as client:
        post(client, b"big 1e308\nbig 1e308\nhalf 0.123456789")
        page = client.get("/").text
        assert "0.123457" in page
        assert "overflow" in page

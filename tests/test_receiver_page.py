from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics.receiver.page import CONTENT_SECURITY_POLICY, render
from dtmetrics.receiver.store import SeriesView, Snapshot
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

STATS = {
    "requests": 5,
    "requests_rejected": 1,
    "accepted": 3,
    "rejected": 2,
    "warnings": 4,
}


class ParsedPage(HTMLParser):
    """A page as a browser parses it: its elements, and the text of each cell."""

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


def page_of(key: str, dimension: str, value: str, unit: str, reason: str) -> ParsedPage:
    """Render and parse a page of one series and one rejected line."""
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
        "rejected": [{"at_ms": 0, "line": 7, "error": reason}],
        "warnings": [reason],
    }
    return ParsedPage(render(snapshot, STATS))


anything = texts | st.sampled_from(HOSTILE)


@given(anything, anything, anything, anything, anything)
def test_nothing_is_markup(
    key: str, dimension: str, value: str, unit: str, reason: str
) -> None:
    """A browser shows any key, value, unit and reason as text."""
    parsed = page_of(key, dimension, value, unit, reason)
    plain = page_of("a", "b", "c", "d", "e")
    assert parsed.elements == plain.elements
    assert parsed.others == []
    shown = {} if dimension == "fixed" else {dimension: value}
    pairs = ", ".join(f"{k}={v}" for k, v in {**shown, "fixed": "x"}.items())
    assert parsed.cells == [
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
    """The page consists of text and tables: it runs, loads and links nothing."""
    parsed = page_of(*HOSTILE[:5])
    names = {name.strip("/") for name, _ in parsed.elements}
    assert names == {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    attributes = {name for _, pairs in parsed.elements for name, _ in pairs}
    assert attributes == {"lang", "charset", "name", "content", "class"}


def test_style_is_allowed() -> None:
    """The policy allows the page's own style by its hash, and therefore no other."""
    page = render({"series": [], "rejected": [], "warnings": []}, STATS)
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in CONTENT_SECURITY_POLICY


def test_latest_rejection_first() -> None:
    """The latest rejected line is at the top."""
    lines = [{"at_ms": n, "line": n, "error": f"reason {n}"} for n in range(3)]
    parsed = ParsedPage(
        render({"series": [], "rejected": lines, "warnings": []}, STATS)
    )  # type: ignore[typeddict-item]
    assert parsed.cells[1::2] == ["reason 2", "reason 1", "reason 0"]


def test_page_is_text() -> None:
    """No line adds markup to the page, whether accepted or rejected."""
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
    """The page shows the first 500 series and the number of the others."""
    with served() as client:
        post(client, b"".join(b"a%d 1\n" % number for number in range(600)))
        page = client.get("/").text
        assert "<h2>600 series</h2>" in page
        assert "100 more are not shown" in page


def test_page_shows_any_number() -> None:
    """The page shows six digits, and "overflow" for a number beyond a double's range."""
    with served() as client:
        post(client, b"big 1e308\nbig 1e308\nhalf 0.123456789")
        page = client.get("/").text
        assert "0.123457" in page
        assert "overflow" in page

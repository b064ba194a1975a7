"""What the demo shows of the series that an endpoint received."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dtmetrics._cli.series_report import series_report

COUNTER = {
    "key": "orders.placed",
    "instrument": "counter",
    "dimensions": {"dt.metrics.source": "dtmetrics"},
    "count": 6,
    "sum": 1361,
    "min": 1,
    "max": 300,
    "last": 12,
    "metadata": {"dt.meta.unit": "Count"},
}
TIMER = {
    **COUNTER,
    "key": "checkout.duration",
    "instrument": "timer",
    "count": 1361,
    "sum": 0.0313,
    "max": 0.00036,
    "metadata": {"dt.meta.unit": "s"},
}
SUMMARY = {
    **COUNTER,
    "key": "cart.value",
    "instrument": "summary",
    "count": 2,
    "sum": 29.25,
    "min": 0.99,
    "max": 28.26,
    "metadata": {"dt.meta.unit": "EUR"},
}
GAUGE = {**COUNTER, "key": "stock.level", "instrument": "gauge"}


def shown(*series: Any, width: int = 100) -> str:
    """Return what is printed in a terminal of *width* columns."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True)
    console.print(series_report(series), style=None)
    styled = console.file.getvalue()  # type: ignore[attr-defined]
    return styled.replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.mark.parametrize(
    ("series", "line"),
    [
        (COUNTER, "orders.placed  counter  total 1,361"),
        (TIMER, "checkout.duration  timer (s)  1,361 calls, mean 23 us, max 360 us"),
        (SUMMARY, "cart.value  summary (EUR)  2 values, mean 14.62, min 0.99, max 28.26"),
        (GAUGE, "stock.level  gauge  latest 12"),
        ({**TIMER, "count": 1, "sum": 75}, "checkout.duration  timer (s)  1 call, mean 75 s, max 360 us"),
        ({**TIMER, "count": 0, "sum": 0, "max": 2e-8}, "checkout.duration  timer (s)  0 calls, mean 0 ns, max 20 ns"),
        ({**COUNTER, "sum": None}, "orders.placed  counter  total ?"),
    ],
)  # fmt: skip
def test_words_of_each_instrument(series: Any, line: str) -> None:
    """A series is shown with its instrument, its unit and what its user looks for."""
    assert shown(series) == f"{line}\n"


def test_dimensions() -> None:
    """Dimensions that all series of a key share are shown once, others in each row."""
    names = {"code.function.name": "shop.cart.Cart.add", "dt.metrics.source": "x"}
    series = [
        {**COUNTER, "dimensions": {"region": region, **names}}
        for region in ("us", "eu")
    ]
    assert shown(*series) == (
        "orders.placed  counter  code.function.name=Cart.add\n"
        "  region=eu  total 1,361\n"
        "  region=us  total 1,361\n"
    )


def test_many_series_of_a_key() -> None:
    """Of many series of a key the first are shown, and the number of the others."""
    series = [{**COUNTER, "dimensions": {"n": f"{n:04}"}} for n in range(2_000)]
    lines = shown(*series).splitlines()
    assert lines[6:] == [
        "  n=0005  total 1,361",
        "  and 1,994 more series",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_width_of_the_terminal(width: int) -> None:
    """In 60 to 200 columns keys and numbers are whole, and no line is longer."""
    many = [
        {**each, "dimensions": {"region": region, "route": "/orders/{id}/items" * 3}}
        for each in (COUNTER, TIMER, SUMMARY, GAUGE)
        for region in ("eu", "us")
    ]
    text = shown(*many, width=width)
    assert max(map(len, text.splitlines())) <= width
    for whole in (
        "orders.placed",
        "checkout.duration",
        "1,361 calls, mean 23 us, max 360 us",
    ):
        assert whole in text


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text(key: str, value: str) -> None:
    """Whatever was posted is shown without markup and without control characters."""
    text = shown({**COUNTER, "key": key, "dimensions": {"a": value}})
    assert all(c.isprintable() for c in text.replace("\n", ""))


def test_markup_is_text() -> None:
    """Markup of rich in a value is shown as it is."""
    assert "a=[bold]x[/]" in shown({**COUNTER, "dimensions": {"a": "[bold]x[/]"}})

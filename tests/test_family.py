from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from threading import Lock

from dtmetrics._record.counter_series import CounterSeries
from dtmetrics._record.family import KINDS, Definition, Family
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder


def family_of(kind: str = "counter") -> tuple[Family, CounterSeries]:
    """Return a family and its only series, wired."""
    family = Family(Definition("name", kind), "name", lambda reason: None)
    series = CounterSeries("name", "name", family.lock, family.refuse, 8)
    series.wire()
    family.series[series.line_prefix] = series
    return family, series


def test_definition_names_its_site() -> None:
    """A definition says what it is, and where it was written."""
    definition = Definition("a b", "counter", site="app.py:3")
    assert str(definition) == "counter 'a b' (defined at app.py:3)"


def test_definition_of_anything() -> None:
    """A definition can be shown, whatever it was given for a name."""
    assert str(Definition(Raises(), "gauge", site="x:1")) == "gauge ? (defined at x:1)"  # type: ignore[arg-type]


def test_kinds() -> None:
    """Every kind of instrument has a kind of series."""
    assert sorted(KINDS) == ["counter", "gauge", "summary"]


def test_calling_site(recorder: Recorder) -> None:
    """An instrument knows the file and line of the caller that defined it."""
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    defined = recorder.meter.counter("name")
    assert defined._origin.definition.site == f"{__file__}:{line}"


SITE = """
from tests.support.recorder import Recorder
print(Recorder().meter.counter("name")._origin.definition.site)
"""


def test_calling_site_of_a_neighbour(tmp_path: Path) -> None:
    """Code in a directory whose name begins like the package's is a caller too."""
    root = Path(__file__).parents[1]
    (tmp_path / "dtmetrics").symlink_to(root / "dtmetrics")
    (tmp_path / "tests").symlink_to(root / "tests")
    (tmp_path / "dtmetrics_app.py").write_text(SITE)
    done = subprocess.run(
        [sys.executable, "-c", "import dtmetrics_app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"{tmp_path / 'dtmetrics_app.py'}:3"


def test_clear() -> None:
    """Series that are let go are neither found nor written to without asking."""
    family, series = family_of()
    family.clear()
    assert family.all_series() == []
    assert not series.alive
    assert series.buffer is None


def test_reset_after_fork() -> None:
    """In a child series stay, empty, and under a lock that nobody holds."""
    family, series = family_of()
    next(series.ones)
    family.lock.acquire()
    family.reset_after_fork()
    assert family.all_series() == [series]
    assert series.alive
    assert series.buffer is None
    assert next(series.ones) == 0
    assert series.lock is family.lock
    assert isinstance(family.lock, type(Lock()))
    assert family.lock.acquire(blocking=False)


def test_first_meaning_counts() -> None:
    """The first definition that says what a key means counts; its site does not."""
    family = Family(Definition("a", "counter", site="x:1"), "a", lambda reason: None)
    assert not family.meaningful
    for number, unit in enumerate(["", "s", "ms"]):
        family.also(Definition("a", "counter", unit=unit, site=f"y:{number}"))
    assert family.meaningful
    assert family.definition == Definition("a", "counter", unit="s", site="x:1")


def test_described_until_it_begins_anew() -> None:
    """A cleared family and that of a child are explained again."""
    family, _ = family_of()
    for renew in (family.clear, family.reset_after_fork):
        family.described = True
        renew()
        assert not family.described

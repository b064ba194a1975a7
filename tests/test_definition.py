from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

from dtmetrics._record.definition import Definition
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder


def test_definition_names_its_site() -> None:
    """A definition is shown with its kind, its name and where it was made."""
    definition = Definition("a b", "counter", site="app.py:3")
    assert str(definition) == "counter 'a b' (defined at app.py:3)"


def test_definition_of_anything() -> None:
    """A definition can be shown even if its name cannot."""
    assert str(Definition(Raises(), "gauge", site="x:1")) == "gauge ? (defined at x:1)"  # type: ignore[arg-type]


def test_calling_site(recorder: Recorder) -> None:
    """An instrument knows the file and the line where it was defined."""
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    defined = recorder.meter.counter("name")
    assert defined.origin.definition.site == f"{__file__}:{line}"


SITE = """
from tests.support.recorder import Recorder
print(Recorder().meter.counter("name").origin.definition.site)
"""


def test_calling_site_of_a_neighbour(tmp_path: Path) -> None:
    """A module whose name only begins with that of the package is a caller."""
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

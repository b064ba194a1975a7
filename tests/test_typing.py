from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="needs mypy")

ROOT = Path(__file__).parents[1]


def mypy(*files: str) -> tuple[int, str]:
    """Check *files* strictly; return the exit status and the output."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", *files],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.timeout(180)
def test_types_survive_decoration(tmp_path: Path) -> None:
    """A decorated callable keeps its type, and mypy reports each wrong use of it."""
    api = "tests/typing/api.py"
    cache = f"--cache-dir={tmp_path}"
    assert mypy(cache, api) == (0, "Success: no issues found in 1 source file\n")

    # Without its `type: ignore` each wrong use is an error.
    source = (ROOT / api).read_text("utf-8")
    bare, wrong = re.subn(r"  # type: ignore\[.*\]", "", source)
    (tmp_path / "bare.py").write_text(bare, "utf-8")
    status, output = mypy(cache, str(tmp_path / "bare.py"))
    assert (status, output.count(": error: ")) == (1, wrong), output
    assert wrong > 5

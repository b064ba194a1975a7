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
    """Check *files* strictly; return the status and what was said."""
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", *files],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout


@pytest.mark.timeout(180)
def test_types_survive_decoration(tmp_path: Path) -> None:
    """A strict checker sees what was decorated as it was, and catches its wrong uses."""
    api = "tests/typing/api.py"
    cache = f"--cache-dir={tmp_path}"
    assert mypy(cache, api) == (0, "Success: no issues found in 1 source file\n")

    # Each wrong use there is one only because it is found to be one.
    source = (ROOT / api).read_text("utf-8")
    bare, wrong = re.subn(r"  # type: ignore\[.*\]", "", source)
    (tmp_path / "bare.py").write_text(bare, "utf-8")
    status, said = mypy(cache, str(tmp_path / "bare.py"))
    assert (status, said.count(": error: ")) == (1, wrong), said
    assert wrong > 5

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
API = ROOT / "tests" / "typing" / "api.py"

# Each as a user without any settings of ours runs it.
CHECKERS = {
    "mypy": ("mypy", "--strict", "--config-file="),
    "pyright": ("pyright", "--pythonpath", sys.executable),
    "ty": ("ty", "check", "--output-format=concise", "--python", sys.executable),
}


def check(*arguments: str | Path) -> tuple[int, str]:
    """Run a type checker; return the exit status and the output."""
    name, *options = map(str, arguments)
    if find_spec(name) is None:
        pytest.skip(f"needs {name}")
    done = subprocess.run(
        [sys.executable, "-m", name, *options],
        cwd=ROOT,
        env={
            **os.environ,
            "MYPYPATH": str(ROOT),
            # pyright --verifytypes looks for the package of the first Python here.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", CHECKERS)
def test_types_of_the_api(checker: str, tmp_path: Path) -> None:
    """A type checker reports each wrong use of the API, and no right one."""
    source = API.read_text("utf-8")
    # Without the comments, whose meaning differs between the checkers.
    bare, count = re.subn(r"  # type: ignore\[.*\]", "", source)
    (tmp_path / "bare.py").write_text(bare, "utf-8")
    cache = [f"--cache-dir={tmp_path}"] if checker == "mypy" else []
    status, output = check(*CHECKERS[checker], *cache, tmp_path / "bare.py")

    wrong = {
        number
        for number, line in enumerate(source.split("\n"), 1)
        if "  # type: ignore[" in line
    }
    reported = re.findall(r"bare\.py:(\d+)(?::\d+)*:? (?:- )?error", output)
    assert {int(number) for number in reported} == wrong, output
    assert status == 1
    assert count == len(wrong) > 30


@pytest.mark.timeout(180)
def test_public_names_have_types() -> None:
    """Each public name has a type that every checker understands in the same way."""
    for library in ("django", "flask", "requests", "sqlalchemy", "starlette"):
        pytest.importorskip(library)  # the types of its objects
    package = "--verifytypes", "dtmetrics", "--ignoreexternal"
    status, output = check(*CHECKERS["pyright"], *package)
    assert "Type completeness score: 100%" in output, output
    assert status == 0

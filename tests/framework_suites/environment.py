"""A virtual environment and the source of a framework, outside of the repository."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from tests.framework_suites.suites import Suite

__all__ = ["Environment", "prepare"]

ROOT = Path(__file__).parents[2]


class Environment:
    """Where a suite runs: its Python and its source."""

    def __init__(self, suite: Suite, place: Path) -> None:
        self.home = place / f"{suite.name}-{suite.version}-{sys.version_info[1]}"
        folder = "Scripts" if sys.platform == "win32" else "bin"
        self.python = self.home / "python" / folder / "python"
        self.source = self.home / f"{suite.name}-{suite.version}"


def prepare(suite: Suite, place: Path) -> Environment:
    """Return the environment of *suite* below *place*, made unless it is there.

    Raises CalledProcessError if the framework or what its tests need is not available.
    """
    made = Environment(suite, place)
    ready = made.home / "ready"
    if ready.exists():
        return made
    made.home.mkdir(parents=True, exist_ok=True)
    _run(sys.executable, "-m", "venv", "--clear", str(made.python.parents[1]))
    pip = [str(made.python), "-m", "pip", "--disable-pip-version-check"]
    pinned = f"{suite.name}=={suite.version}"
    no_wheel = ["--no-deps", "--no-binary", suite.name, "--dest", str(made.home)]
    _run(*pip, "download", "--quiet", *no_wheel, pinned)
    [archive] = made.home.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(made.home, filter="data")
    framework = f"{made.source}[{suite.extra}]" if suite.extra else str(made.source)
    requirements = [framework, *suite.requirements]
    _run(*pip, "install", "--quiet", "--editable", str(ROOT), *requirements)
    ready.touch()
    return made


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)

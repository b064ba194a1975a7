"""The command: ``python -m tests.transparency [LIBRARY ...]``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.support.progress import write
from tests.transparency import suite
from tests.transparency.libraries import LIBRARIES, Library
from tests.transparency.sources import installed, unpacked

_SECONDS = 3600


class Result(NamedTuple):
    """The result of one run."""

    #: How often a function was decorated.
    functions: int
    #: By the names of the tests.
    outcomes: dict[str, str]


class Comparison(NamedTuple):
    """The tests of a library, and those whose outcome the decorator changed."""

    tests: int
    expected: list[str]
    unexpected: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites, and return 1 if an outcome differs that should not."""
    options = _parse(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in options.libraries or LIBRARIES:
        library = LIBRARIES[name]
        source = unpacked(library, options.directory)
        packages = installed(library, options.directory)
        logs = options.directory
        plain = run(library, source, packages, logs)
        decorator = options.decorator, options.above
        decorated = run(library, source, packages, logs, decorator)
        failed |= not show(library, plain, decorated)
    return int(failed)


def show(library: Library, plain: Result, decorated: Result) -> bool:
    """Print the row of a library, and return whether nothing differs unexpectedly."""
    result = compare(library, plain.outcomes, decorated.outcomes)
    write(
        f"{library.name:16}{result.tests:6} tests {decorated.functions:7} decorations "
        f"{len(result.expected):3} differ as expected {len(result.unexpected):3} differ"
    )
    for line in result.expected + result.unexpected:
        write(f"    {line}")
    return not result.unexpected and bool(result.tests and decorated.functions)


def compare(
    library: Library, plain: dict[str, str], decorated: dict[str, str]
) -> Comparison:
    """Compare the outcomes of two runs."""
    expected, unexpected = [], []
    for test in {**plain, **decorated}:
        before, after = plain.get(test, "absent"), decorated.get(test, "absent")
        if before == after:
            continue
        line = f"{test}: {before} -> {after}"
        reasons = [
            why for each, why in library.expected.items() if fnmatchcase(test, each)
        ]
        if reasons:
            expected.append(f"{line} ({reasons[0]})")
        else:
            unexpected.append(line)
    return Comparison(len(plain), expected, unexpected)


def run(
    library: Library,
    source: Path,
    packages: Path,
    logs: Path,
    decorator: tuple[str, bool] = ("", False),
) -> Result:
    """Run the tests of *library* once.

    *source* has the tests, *packages* what they import. *decorator* is that of each
    function of the library, and whether it is above the others; without it the
    functions are left as they are.
    """
    named = logs / f"{library.name}-{decorator[0] or 'plain'}"
    outcomes = named.with_suffix(".json")
    outcomes.unlink(missing_ok=True)
    plan = suite.Plan([*library.packages], [*library.tests], str(outcomes), *decorator)
    with named.with_suffix(".log").open("w") as log:
        subprocess.run(
            [sys.executable, suite.__file__, json.dumps(plan)],
            cwd=source,
            env={**os.environ, "PYTHONPATH": str(packages)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    return Result(*json.loads(outcomes.read_text("utf-8")))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.transparency",
        description="Run the tests of libraries with each of their functions decorated.",
    )
    parser.add_argument(
        "libraries",
        nargs="*",
        metavar="LIBRARY",
        help=f"default: {', '.join(LIBRARIES)}",
    )
    parser.add_argument(
        "--decorator",
        default="timed",
        choices=suite.DECORATORS,
        help="of each function (default: timed)",
    )
    parser.add_argument(
        "--above",
        action="store_true",
        help="decorate above the other decorators, not below them",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()) / "dtmetrics-transparency",
        help="where downloads and logs are kept (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.libraries) - LIBRARIES.keys():
        parser.error(f"unknown library: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())

"""A part of the benchmark, measured in a process of its own.

``python -m benchmarks.part growth`` prints the result of the part ``growth`` as JSON.
The leftovers of a part (a configured library, 100,000 series, threads) do not affect
another one, and neither does its failure.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.machine import gil
from benchmarks.measure import FULL, QUICK
from benchmarks.table import Table

__all__ = ["PARTS", "ROOT", "Result", "child", "run"]

ROOT = Path(__file__).parents[1]
PARTS = [
    "operations",
    "forms",
    "threads",
    "memory",
    "encoding",
    "imports",
    "stall",
    "growth",
    "web",
    "outbound",
]


class Result(NamedTuple):
    """The tables of a part, the versions measured, and what was left out and why."""

    tables: list[Table]
    versions: Mapping[str, str] = MappingProxyType({})
    left_out: Mapping[str, str] = MappingProxyType({})


def child(*arguments: str) -> str:
    """Return the output of a fresh Python; raise RuntimeError with its last words."""
    # Bytecode files are written: an import must not be measured with its compilation.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(  # noqa: S603 -- our own modules
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(last or f"exit status {done.returncode}")
    return done.stdout


def run(part: str, *, quick: bool) -> Result:
    """Measure *part* in a process of its own."""
    try:
        printed = child("-m", "benchmarks.part", part, *(["--quick"] if quick else []))
    except RuntimeError as error:
        return Result([], {}, {f"the part {part}": str(error)})
    found = json.loads(printed.splitlines()[-1])
    tables = [Table(*table) for table in found["tables"]]
    left_out = found["left_out"]
    if found["gil"] and not gil():
        left_out[f"threads without a GIL, in {part}"] = "a library switched it on"
    return Result(tables, found["versions"], left_out)


def main(part: str, *flags: str) -> None:
    """Measure *part* in this process, and print its result as the last line."""
    module = importlib.import_module(f"benchmarks.{part}")
    found: Result = module.measure(QUICK if "--quick" in flags else FULL)
    print(
        json.dumps(
            {
                "tables": found.tables,
                "versions": dict(found.versions),
                "left_out": dict(found.left_out),
                "gil": gil(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

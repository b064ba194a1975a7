"""Run the tests of a library in this process, and write their outcomes as JSON.

``python suite.py PLAN``: see `Plan`. This file imports nothing of ``tests``, because
libraries have packages of that name.
"""

from __future__ import annotations

import ast
import builtins
import json
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

NAME = "__dtmetrics_decorator__"


class Plan(NamedTuple):
    """What to run."""

    packages: list[str]
    tests: list[str]
    outcomes: str
    #: The decorator of each function of the packages; none if it is empty.
    decorator: str = ""
    #: Whether it is above the other decorators.
    above: bool = False


class Decorating(ast.NodeTransformer):
    """Add a decorator to every function, above or below the others."""

    def __init__(self, *, above: bool) -> None:
        self._above = above

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        name = ast.Name(NAME, ast.Load())
        # On the line of the function, so that its first line remains the same.
        place = 0 if self._above else len(node.decorator_list)
        node.decorator_list.insert(place, ast.copy_location(name, node))
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _decorated  # noqa: N815 -- ast's names


class Loader(SourceFileLoader):
    """Loads a module whose functions are decorated."""

    above = False

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        tree = Decorating(above=self.above).visit(ast.parse(data, path))
        code: CodeType = compile(
            tree, path, "exec", dont_inherit=True, optimize=_optimize
        )
        return code

    def get_code(self, fullname: str) -> CodeType | None:
        # Not from a cache, and not into one.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class Finder(MetaPathFinder):
    """Finds the modules of packages, their tests excepted."""

    def __init__(self, packages: Sequence[str], *, above: bool) -> None:
        self._packages = packages
        self._above = above

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = name.split(".")
        if parts[0] not in self._packages or {"tests", "conftest"} & {*parts}:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
            spec.loader.above = self._above
        return spec


class Counted:
    """A decorator that counts what it decorates."""

    def __init__(self, decorate: Callable[[Any], Any]) -> None:
        self._decorate = decorate
        self.functions = 0

    def __call__(self, function: Any) -> Any:
        if not isinstance(function, classmethod | staticmethod) and not callable(
            function
        ):
            return function  # a property, for example
        self.functions += 1
        return self._decorate(function)


class Outcomes:
    """A plugin of pytest that collects the outcome of each test."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.of[report.nodeid] = "not collected"

    def pytest_runtest_logreport(self, report: Any) -> None:
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "x" + outcome
        if report.when == "call" or outcome != "passed":
            before = self.of.get(report.nodeid)
            self.of[report.nodeid] = "failed" if before == "failed" else outcome


DECORATORS = ("timed", "named", "counter", "gauge", "context")


def decorator(kind: str) -> Callable[[Any], Any]:
    """Return one of `DECORATORS`; it records."""
    import dtmetrics
    from dtmetrics.exporters import MemoryExporter

    dtmetrics.configure(exporter=MemoryExporter(), interval=None)
    made: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "timed": lambda: dtmetrics.timed("call.duration"),
        "named": lambda: dtmetrics.timed,
        "counter": lambda: dtmetrics.counter("calls.count"),
        "gauge": lambda: dtmetrics.gauge("calls.active"),
        "context": lambda: dtmetrics.context(library="yes"),
    }
    return made[kind]()


def main(plan: Plan) -> None:
    """Run the tests and write the outcomes."""
    counted = Counted(decorator(plan.decorator)) if plan.decorator else None
    if counted is not None:
        setattr(builtins, NAME, counted)
        # httpx imports click.
        for name in [*sys.modules]:
            if name.partition(".")[0] in plan.packages:
                del sys.modules[name]
        sys.meta_path.insert(0, Finder(plan.packages, above=plan.above))
    import pytest

    outcomes = Outcomes()
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    pytest.main([*options, "-p", "no:xdist", *plan.tests], plugins=[outcomes])
    functions = 0 if counted is None else counted.functions
    Path(plan.outcomes).write_text(json.dumps([functions, outcomes.of]), "utf-8")


if __name__ == "__main__":
    sys.path.pop(0)  # the directory of this file
    main(Plan(*json.loads(sys.argv[1])))

"""The public names of the package, and the examples in its docstrings.

``python -m tests.support.docstring_examples`` runs every example.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import MethodType, ModuleType

import dtmetrics
from dtmetrics._runtime.runtime import default

__all__ = ["main", "public_names"]


def modules() -> Iterator[ModuleType]:
    """Yield the package and each of its modules whose library is installed."""
    yield dtmetrics
    for found in pkgutil.walk_packages(dtmetrics.__path__, "dtmetrics."):
        if found.name == "dtmetrics.__main__":
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError as missing:
            name = getattr(missing.__cause__ or missing, "name", None)
            if name is None or name.startswith("dtmetrics"):
                raise


def public_names() -> dict[str, object]:
    """Return what users import, by its full name.

    That is what is in ``dtmetrics``, in its public modules, and in those of
    ``dtmetrics.integrations``. Of the receiver, only its commands are for users.
    """
    names: dict[str, object] = {}
    for module in modules():
        path = module.__name__.removeprefix("dtmetrics.integrations")
        if path.count(".") > 1 or "._" in path or path == "dtmetrics.receiver":
            continue
        for name in getattr(module, "__all__", ()):
            names[f"{module.__name__}.{name}"] = getattr(module, name)
    return names


def run_all() -> tuple[int, str]:
    """Run every example; return how many there are, and what went wrong.

    The examples of public names run with nothing imported, as a reader may paste them.
    """
    if find_spec("django") is not None:  # the finder looks into its settings
        importlib.import_module("django.conf").settings.configure()
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = public_names().values()
    # Some of the functions are methods.
    public = {id(each) for each in names} | {
        id(type(each.__self__)) for each in names if isinstance(each, MethodType)
    }
    runner = doctest.DocTestRunner(verbose=False)
    problems: list[str] = []
    count = 0
    for module in modules():
        for test in finder.find(module):
            path = test.name.removeprefix(module.__name__).split(".")[1:2]
            owner = getattr(module, path[0]) if path else None
            if owner is None or id(owner) in public:
                test.globs = {"__name__": "__main__"}
            runner.run(test, out=problems.append)
            count += len(test.examples)
            dtmetrics.shutdown()
            default.registry.observers.clear()  # which outlive a shutdown
    return count, "".join(problems)


def main() -> None:
    """Run every example; print their number, or exit with the report."""
    count, report = run_all()
    if report:
        sys.exit(report)
    sys.stdout.write(f"{count} examples\n")


if __name__ == "__main__":
    main()

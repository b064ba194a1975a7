"""The libraries whose tests are run, and the differences that are expected."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LIBRARIES", "Library"]


@dataclass(frozen=True)
class Library:
    """A library whose tests are run, and where they are in its source distribution."""

    name: str
    version: str
    packages: tuple[str, ...]
    tests: tuple[str, ...] = ("tests",)
    #: What its tests import.
    requires: tuple[str, ...] = ()
    #: Patterns of the names of tests, and why their outcome differs.
    expected: dict[str, str] = field(default_factory=dict)


LIBRARIES = {
    each.name: each
    for each in (
        Library("click", "8.5.1", ("click",)),
        Library("tenacity", "9.2.1", ("tenacity",), requires=("tornado", "typeguard")),
        Library("toolz", "1.2.0", ("toolz", "tlz"), tests=("toolz",)),
        Library("more-itertools", "11.2.1", ("more_itertools",)),
        Library(
            "attrs",
            "26.1.0",
            ("attr", "attrs"),
            requires=("cloudpickle",),
            expected={
                f"tests/test_{test}": "make_class() finds the module of its caller by "
                "sys._getframe(1), which is the frame of the wrapper"
                for test in (
                    "functional.py::TestFunctional::test_pickle_object*-FromMakeClass?",
                    "make.py::TestMakeClass::test_*attr_args",
                )
            },
        ),
        Library(
            "pluggy",
            "1.7.0",
            ("pluggy",),
            tests=("testing",),
            requires=("pytest-benchmark",),
            expected={
                "testing/test_warnings.py::test_teardown_raised_warning": "stacklevel= "
                "counts the frame that runs a decorated generator"
            },
        ),
        Library(
            "networkx",
            "3.6.1",
            ("networkx",),
            tests=(
                "networkx/classes",
                "networkx/generators",
                "networkx/utils",
                "networkx/algorithms/centrality",
                "networkx/algorithms/shortest_paths",
            ),
        ),
    )
}

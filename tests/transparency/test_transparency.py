"""The command finds what a decorator changes; ``python -m tests.transparency`` is all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.transparency.__main__ import compare, main, run, show
from tests.transparency.libraries import LIBRARIES, Library
from tests.transparency.suite import DECORATORS

pytestmark = pytest.mark.processes

_LIBRARY = """
import functools, sys

def caller():
    return sys._getframe(1).f_code.co_name

class Base:
    def method(self):
        return 1

class Child(Base):
    @property
    def value(self):
        return super().method()

    @staticmethod
    async def coroutine():
        def nested():
            return 1
        return nested()
"""
_TESTS = """
import inspect, pytest, small

def test_caller():
    assert small.caller() == "test_caller"

def test_methods():
    assert small.Child().value == small.Child().method() == 1
    assert inspect.iscoroutinefunction(small.Child.coroutine)

def test_skipped():
    pytest.skip("always")

@pytest.mark.xfail
def test_fails():
    assert small.caller() == "never"
"""


@pytest.mark.parametrize(
    "decorator", [*((name, False) for name in DECORATORS), ("timed", True)]
)
def test_a_library_that_looks_at_frames(
    decorator: tuple[str, bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test that counts frames is reported, and not one that looks at functions."""
    (tmp_path / "small.py").write_text(_LIBRARY, "utf-8")
    (tmp_path / "test_small.py").write_text(_TESTS, "utf-8")
    library = Library("small", "1", ("small",), tests=("test_small.py",))
    plain, decorated = (
        run(library, tmp_path, tmp_path, tmp_path, kind)
        for kind in (("", False), decorator)
    )
    assert plain.functions == 0
    # A property cannot be decorated.
    assert decorated.functions == (3 if decorator[1] else 4)
    assert sorted(plain.outcomes.values()) == [
        "passed",
        "passed",
        "skipped",
        "xskipped",
    ]
    assert not show(library, plain, decorated)
    assert "test_caller: passed -> failed" in capsys.readouterr().out
    known = Library("small", "1", (), expected={"*::test_caller": "it counts frames"})
    [line] = compare(known, plain.outcomes, decorated.outcomes).expected
    assert line == "test_small.py::test_caller: passed -> failed (it counts frames)"
    assert show(known, plain, decorated)


def test_unknown_library(capsys: pytest.CaptureFixture[str]) -> None:
    """The command names a library that it does not know."""
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "unknown library: nothing" in capsys.readouterr().err


def test_expected_differences_have_reasons() -> None:
    """Each expected difference has a reason, and each library a version."""
    for library in LIBRARIES.values():
        assert all(library.expected.values())
        assert library.version
        assert not {*library.packages} & {*sys.stdlib_module_names}

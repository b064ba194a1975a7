"""How httpx is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.script import expect

WITHOUT_COMMAND_LINE = """
    import sys
    import dtmetrics
    dtmetrics.configure(interval=None, enrich=False)
    print(sorted({"click", "rich", "pygments", "httpx._main"} & sys.modules.keys()))
    import httpx
    print(httpx.get.__name__, callable(httpx.main))
"""

AFTER_THE_PROGRAM = """
    import httpx
    before = httpx.main
    import dtmetrics
    dtmetrics.configure(interval=None, enrich=False)
    print(httpx.main is before)
"""


def test_without_the_command_line() -> None:
    """configure() imports httpx without its command line; the program has it as well."""
    assert expect(WITHOUT_COMMAND_LINE) == "[]\nget True\n"


def test_after_the_program() -> None:
    """Httpx that the program has imported before stays as it is."""
    assert expect(AFTER_THE_PROGRAM) == "True\n"


@pytest.mark.parametrize("error", ["AttributeError('sendmsg')", "ImportError()"])
def test_trio_that_cannot_be_imported(tmp_path: Path, error: str) -> None:
    """configure() works where trio is installed and cannot be imported."""
    (tmp_path / "trio.py").write_text(f"raise {error}\n")
    source = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import dtmetrics
        dtmetrics.configure(interval=None, enrich=False)
        print("httpcore" in sys.modules, "trio" in sys.modules)
    """
    assert expect(source, tmp_path) == "True False\n"

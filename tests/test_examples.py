"""The how-to pages and their programs: what all of them have in common."""

from __future__ import annotations

import pytest

from tests.support.endpoint import Endpoint
from tests.support.example_pages import EXAMPLES, FOLDERS, ExamplePage
from tests.support.script import expect

PAGES = sorted(
    path.relative_to(EXAMPLES).with_suffix("").as_posix()
    for folder in FOLDERS
    for path in (EXAMPLES / folder).glob("*.md")
)


@pytest.mark.parametrize("name", PAGES)
def test_programs_are_shown_as_they_are(name: str) -> None:
    """A page shows at least one file beside it, and shows each to which it links whole."""
    page = ExamplePage(name)
    assert page.programs
    for path in page.programs:
        assert path.read_text("utf-8") in page.shown, path.name


def test_every_program_is_explained() -> None:
    """Each file beside the pages is explained by one of them."""
    explained = {path for name in PAGES for path in ExamplePage(name).programs}
    found = {
        path
        for folder in FOLDERS
        for path in (EXAMPLES / folder).iterdir()
        if path.is_file() and path.suffix != ".md"
    }
    assert found == explained


@pytest.mark.parametrize("name", PAGES)
def test_form(name: str) -> None:
    """The title is a question, and the program that answers it comes first."""
    page = ExamplePage(name)
    assert page.title.startswith("How do I ")
    assert page.title.endswith("?")
    before, _, _ = page.text.partition("\n## ")
    assert any(path.read_text("utf-8") in before for path in page.programs)


def test_the_tutorials_program() -> None:
    """The only program beside the index of the guide is the tutorial's, and it runs."""
    [program] = EXAMPLES.glob("*.py")
    with Endpoint() as endpoint:
        source = program.read_text("utf-8")
        assert expect(source, DTMETRICS_ENDPOINT=endpoint.url) == ""
    assert program.name == "quickstart.py"
    assert endpoint.total("orders.placed") == 10

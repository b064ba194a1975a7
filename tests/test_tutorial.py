"""The tutorial, step by step, against a real ``dtmetrics dev``."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.markdown_pages import ROOT, blocks, tables
from tests.support.receiver_process import ReceiverProcess, receiver_process

PAGE = (ROOT / "examples" / "tutorial.md").read_text("utf-8")
STEPS = re.split(r"^(?=## )", PAGE, flags=re.MULTILINE)[1:]


def test_steps(tmp_path: Path) -> None:
    """After each step the receiver has the values that the tutorial shows, and its page too."""
    checked = 0
    with receiver_process() as receiver:
        for step in STEPS:
            programs = [block for block in blocks(step) if block.name]
            for program in programs:
                path = tmp_path / program.name
                path.write_text(program.code, "utf-8")
                done = receiver.run(path)
                assert (done.returncode, done.stderr) == (0, ""), program.heading
                assert program.prints in (None, done.stdout)
            for rows in tables(step, "key"):
                assert programs, step
                for key, dimensions, value in rows:
                    check(receiver, key, dimensions, value)
                    checked += 1
    assert checked == 8


def check(receiver: ReceiverProcess, key: str, dimensions: str, value: str) -> None:
    """Assert that the receiver has the series of one row of a table."""
    number, noun = value.split()
    expected = {"dt.metrics.source": "dtmetrics"}
    if dimensions != "none":
        expected.update([dimensions.split("=")])
    [series] = [
        each
        for each in receiver.series()
        if each["key"] == key and each["dimensions"] == expected
    ]
    calls = noun.startswith("call")
    assert series["count" if calls else "sum"] == int(number), (key, dimensions)
    assert key in receiver.page()


def test_first_step_names_the_address() -> None:
    """The first step shows the address that ``dtmetrics dev`` prints, and the page's link."""
    [printed] = [block.code for block in blocks(STEPS[0]) if block.language == "text"]
    assert printed == "dtmetrics receiver on http://127.0.0.1:14499\n"
    assert "<http://127.0.0.1:14499>" in STEPS[1]

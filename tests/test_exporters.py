"""The exporters of the public port, and the values that cross it."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics.exporters import Exporter, ExportResult, Outcome
from tests.support.exporter_contract import ExporterContract, a_batch


class TestConsole(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return ConsoleExporter(io.StringIO())

    def test_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a stream it writes to ``sys.stderr``, as it is at that moment."""
        ConsoleExporter().export(a_batch("a gauge,1", "b gauge,2"), 1.0)
        assert capsys.readouterr().err == "a gauge,1\nb gauge,2\n"

    def test_stream(self) -> None:
        """A stream that the caller passes stays open."""
        stream = io.StringIO()
        exporter = ConsoleExporter(stream)
        exporter.export(a_batch("a gauge,1"), 1.0)
        exporter.close()
        assert stream.getvalue() == "a gauge,1\n"


class TestMemory(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return MemoryExporter()

    def test_lines(self) -> None:
        """Exported lines stay readable after it was closed."""
        exporter = MemoryExporter()
        exporter.export(a_batch("a gauge,1", "b gauge,2"), 1.0)
        exporter.close()
        assert exporter.lines == ["a gauge,1", "b gauge,2"]

    def test_fork(self) -> None:
        """A forked child starts without lines, in the same list."""
        exporter = MemoryExporter()
        lines = exporter.lines
        exporter.export(a_batch(), 1.0)
        exporter.reset_after_fork()
        assert exporter.lines is lines
        assert lines == []


def test_compressing_makes_nothing_larger() -> None:
    """A batch that would grow by compression stays as it is."""
    for lines in (["a gauge,1"], [f"key.{n} gauge,1" for n in range(99)]):
        batch = a_batch(*lines)
        text, size = batch.text, batch.size
        batch.compress()
        assert (batch.text, batch.size <= size) == (text, True)


def test_batch_is_immutable() -> None:
    """The text of a batch cannot be replaced."""
    batch = a_batch()
    with pytest.raises(AttributeError):
        batch.text = b""  # type: ignore[misc]
    assert batch.points == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("outcome", "answered", "outcome must be an Outcome, got str"),
        ("rejected", "2", "rejected must be an int, got str"),
        ("reason", b"secret", "reason must be a str, got bytes"),
        ("retry_after", "7", "retry_after must be a number or None, got str"),
        (
            "retry_after",
            -1,
            "retry_after must be between 0 and 3600 seconds, got -1",
        ),
        (
            "retry_after",
            float("nan"),
            "retry_after must be between 0 and 3600 seconds, got nan",
        ),
    ],
)
def test_results_are_checked(field: str, value: object, message: str) -> None:
    """A result with an impossible field names the field, the requirement, the value."""
    fields = {"outcome": Outcome.ANSWERED, field: value}
    with pytest.raises((TypeError, ValueError)) as caught:
        ExportResult(**fields)  # type: ignore[arg-type]
    assert str(caught.value) == message


OWN_EXPORTER = """
import dtmetrics
from dtmetrics.exporters import Batch, ExportResult, Outcome

class Mine:
    def __init__(self, *results):
        self.results = list(results)

    def export(self, batch: Batch, timeout: float):
        return self.results.pop(0) if self.results else ExportResult(Outcome.ANSWERED)

    def close(self): pass
    def reset_after_fork(self): pass

for result in (None, ExportResult(Outcome.ANSWERED, rejected=1)):
    dtmetrics.configure(exporter=Mine(result), interval=None)
    dtmetrics.counter("a.b").inc()
    print(dtmetrics.flush(), dtmetrics.stats()[:5], dtmetrics.stats().last_error)
    print(dtmetrics.flush(), dtmetrics.stats()[:5])
    dtmetrics.shutdown()
"""


def test_an_exporter_of_the_users_own() -> None:
    """A program needs only public names for an exporter, and learns of its faults."""
    ended = subprocess.run(
        [sys.executable, "-c", OWN_EXPORTER], capture_output=True, text=True, check=True
    )
    fault = "the exporter Mine returned None, it must return an ExportResult"
    assert ended.stdout.splitlines()[:3] == [
        f"False (1, 0, 0, {{}}, 1) {fault}",
        "True (1, 1, 0, {}, 0)",
        "True (1, 0, 1, {}, 0) ",
    ]
    assert (
        ended.stderr.splitlines()[0]
        == f"dtmetrics: cannot deliver, will retry: {fault}"
    )

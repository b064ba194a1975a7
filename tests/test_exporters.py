from __future__ import annotations

import io

import pytest

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics.exporters import Exporter
from tests.support.exporter_contract import ExporterContract, a_body


class TestConsole(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return ConsoleExporter(io.StringIO())

    def test_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a stream it writes to what standard error is at that moment."""
        ConsoleExporter().export(a_body("a gauge,1", "b gauge,2"), 1.0)
        assert capsys.readouterr().err == "a gauge,1\nb gauge,2\n"

    def test_stream(self) -> None:
        """A stream of the user's own is written and stays open."""
        stream = io.StringIO()
        exporter = ConsoleExporter(stream)
        exporter.export(a_body("a gauge,1"), 1.0)
        exporter.close()
        assert stream.getvalue() == "a gauge,1\n"


class TestMemory(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return MemoryExporter()

    def test_lines(self) -> None:
        """Its lines are what was sent, and outlive it: they are why it exists."""
        exporter = MemoryExporter()
        exporter.export(a_body("a gauge,1", "b gauge,2"), 1.0)
        exporter.close()
        assert exporter.lines == ["a gauge,1", "b gauge,2"]

    def test_fork(self) -> None:
        """A forked child starts with no lines, in the list that others may hold."""
        exporter = MemoryExporter()
        lines = exporter.lines
        exporter.export(a_body(), 1.0)
        exporter.reset_after_fork()
        assert exporter.lines is lines
        assert lines == []


def test_what_grows_is_not_packed() -> None:
    """To be stowed makes no body larger."""
    for lines in (["a gauge,1"], [f"key.{n} gauge,1" for n in range(99)]):
        body = a_body(*lines)
        text, size = body.text, body.size
        body.stow()
        assert (body.text, body.size <= size) == (text, True)


def test_body_is_frozen() -> None:
    """A body is sent as it was made, however often."""
    body = a_body()
    with pytest.raises(AttributeError):
        body.text = b""  # type: ignore[misc]
    assert body.points == 1

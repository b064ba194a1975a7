"""What every exporter has to be, whatever it sends to. To be inherited."""

from __future__ import annotations

import pytest

from dtmetrics._protocol.line import identify
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome
from tests.support.recorder import MOMENT


def a_body(*lines: str, created_ms: int = MOMENT) -> Batch:
    """Return a body of these lines, each a point of a series of its own key."""
    lines = lines or (f"orders count,delta=1 {MOMENT}",)
    identities = tuple(identify(line.split(" ")[0], ()) for line in lines)
    return Batch("\n".join(lines).encode(), identities, created_ms)


class ExporterContract:
    """The promises of the port, for an exporter whose other side takes everything."""

    @pytest.fixture
    def exporter(self) -> Exporter:
        """Return the exporter under test."""
        raise NotImplementedError

    def test_takes(self, exporter: Exporter) -> None:
        """A body that is taken is answered, with nothing refused."""
        result = exporter.export(a_body(), 5.0)
        assert isinstance(result, ExportResult)
        assert result.outcome is Outcome.ANSWERED
        assert result.rejected == 0
        exporter.close()

    def test_takes_any_text(self, exporter: Exporter) -> None:
        """A body may hold many lines, and any character of UTF-8."""
        lines = [f'orders,place="Zürich 東京 🙂 {n}" count,delta=1' for n in range(999)]
        assert exporter.export(a_body(*lines), 5.0).outcome is Outcome.ANSWERED
        exporter.close()

    def test_close_twice(self, exporter: Exporter) -> None:
        """Closing, even before any export, is done as often as one likes."""
        exporter.close()
        exporter.export(a_body(), 5.0)
        exporter.close()
        exporter.close()

    def test_works_after_close(self, exporter: Exporter) -> None:
        """An export after a close is taken up again: a flush may follow a pause."""
        exporter.export(a_body(), 5.0)
        exporter.close()
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()

    def test_works_after_fork(self, exporter: Exporter) -> None:
        """A child that has let go of the parent's connections makes its own."""
        exporter.reset_after_fork()
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()

"""The contract of an exporter, as a class of tests to inherit."""

from __future__ import annotations

import pytest

from dtmetrics._protocol.line import identify
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome
from tests.support.recorder import MOMENT


def a_batch(*lines: str, created_ms: int = MOMENT) -> Batch:
    """Return a batch of these lines, each a point of a series of its own key."""
    lines = lines or (f"orders count,delta=1 {MOMENT}",)
    identities = tuple(identify(line.split(" ")[0], ()) for line in lines)
    return Batch("\n".join(lines).encode(), identities, created_ms)


class ExporterContract:
    """The contract, for an exporter whose other side accepts everything."""

    @pytest.fixture
    def exporter(self) -> Exporter:
        """Return the exporter under test."""
        raise NotImplementedError

    def test_accepted(self, exporter: Exporter) -> None:
        """A batch that is accepted is answered, with no line rejected."""
        result = exporter.export(a_batch(), 5.0)
        assert isinstance(result, ExportResult)
        assert result.outcome is Outcome.ANSWERED
        assert result.rejected == 0
        exporter.close()

    def test_any_text(self, exporter: Exporter) -> None:
        """A batch may hold many lines, and any character of UTF-8."""
        lines = [f'orders,place="Zürich 東京 🙂 {n}" count,delta=1' for n in range(999)]
        assert exporter.export(a_batch(*lines), 5.0).outcome is Outcome.ANSWERED
        exporter.close()

    def test_close_twice(self, exporter: Exporter) -> None:
        """Closing is allowed at any time, also twice and before any export."""
        exporter.close()
        exporter.export(a_batch(), 5.0)
        exporter.close()
        exporter.close()

    def test_works_after_close(self, exporter: Exporter) -> None:
        """An export after a close works: a flush may follow a shutdown."""
        exporter.export(a_batch(), 5.0)
        exporter.close()
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()

    def test_works_after_fork(self, exporter: Exporter) -> None:
        """An export after a reset works: a forked child opens connections of its own."""
        exporter.reset_after_fork()
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()

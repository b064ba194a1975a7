"""An exporter that appends to a file, for a host that has no network."""

import sys
from pathlib import Path

from dtmetrics import configure, counter
from dtmetrics.exporters import Batch, ExportResult, Outcome


class FileExporter:
    """Appends the lines of each batch to the file at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Return what became of *batch*: written, not written, or unknown."""
        try:
            file = self.path.open("ab")
        except OSError as error:  # nothing was written
            return ExportResult(Outcome.RETRY, reason=str(error.strerror))
        try:
            with file:
                file.write(batch.text + b"\n")
        except OSError as error:  # a part may have been written
            return ExportResult(Outcome.INDETERMINATE, reason=str(error.strerror))
        return ExportResult(Outcome.ANSWERED)

    def close(self) -> None:
        """Do nothing: the file is open only while a batch is written."""

    def reset_after_fork(self) -> None:
        """Do nothing: a forked child inherits no open file."""


configure(exporter=FileExporter(Path(sys.argv[1])))
counter("orders.placed", unit="{order}").inc(3, region="eu")

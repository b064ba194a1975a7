"""What `web` and `outbound` share: an application that others measure beside us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["BARE", "OTEL", "provider", "recording"]

#: Unmeasured, and measured by OpenTelemetry's package for that library.
BARE, OTEL = "bare", "opentelemetry-instrumentation"


@contextmanager
def recording() -> Iterator[None]:
    """Record, without sending, and let OpenTelemetry use its stable names."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"  # read with the first import
    import dtmetrics

    dtmetrics.configure(
        exporter=dtmetrics.MemoryExporter(), interval=None, enrich=False
    )
    yield
    dtmetrics.shutdown()


def provider() -> Any:
    """Return what lets one of OpenTelemetry's instrumentations record.

    It measures by that, and traces nothing, as nobody gives it a provider for traces.
    """
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    return MeterProvider([InMemoryMetricReader()])

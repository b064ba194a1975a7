"""Settings that `web` and `outbound` share: bare, with us, and with OpenTelemetry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["BARE", "OTEL", "provider", "recording"]

#: Without instrumentation, and with OpenTelemetry's package for that library.
BARE, OTEL = "bare", "opentelemetry-instrumentation"


@contextmanager
def recording() -> Iterator[None]:
    """Record without sending; let OpenTelemetry use its stable names."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"  # read with the first import
    import dtmetrics

    dtmetrics.configure(
        exporter=dtmetrics.MemoryExporter(), interval=None, enrich=False
    )
    yield
    dtmetrics.shutdown()


def provider() -> Any:
    """Return a meter provider for one of OpenTelemetry's instrumentations.

    Without a tracer provider it traces nothing.
    """
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    return MeterProvider([InMemoryMetricReader()])

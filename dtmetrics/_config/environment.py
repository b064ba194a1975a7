"""Environment variables that are not settings of ``configure()``."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["known_http_methods"]


def known_http_methods(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the methods in ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS``, if any.

    The variable and its form, a list with commas, are OpenTelemetry's
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/). It is read when a
    middleware is made, and replaces the methods that the convention names.
    """
    source = os.environ if environ is None else environ
    text = source.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "")
    return frozenset(filter(None, map(str.strip, text.split(","))))

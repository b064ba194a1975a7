"""The HTTP methods that the environment names."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["known_methods"]


def known_methods(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the methods in ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS``, if any.

    The variable and its form, a list with commas, are OpenTelemetry's
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/). It is read when a
    middleware is made, and replaces the methods that the convention names.

    >>> sorted(known_methods({"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET, BREW"}))
    ['BREW', 'GET']
    """
    source = os.environ if environ is None else environ
    text = source.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "")
    return frozenset(filter(None, map(str.strip, text.split(","))))

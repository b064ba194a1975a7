"""Whose requests are our own: of whoever exports a body."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["EXPORTING"]

#: Whether what runs now does so in order to export: it is not measured, or each
#: delivery would make metrics for the next one.
EXPORTING: ContextVar[bool] = ContextVar("dtmetrics.exporting", default=False)

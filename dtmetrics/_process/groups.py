"""The names of the groups of runtime metrics."""

from __future__ import annotations

__all__ = ["GROUPS"]

#: The groups that ``runtime=`` names, in the order in which they are listed.
GROUPS = (
    "cpu",
    "memory",
    "paging",
    "threads",
    "descriptors",
    "context_switches",
    "gc",
    "uptime",
)

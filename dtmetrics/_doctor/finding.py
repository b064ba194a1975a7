"""A finding: the result of one check, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from dtmetrics._export.causes import Cause

__all__ = ["Finding", "Status", "note", "ok", "problem", "skipped", "warning"]


class Status(Enum):
    """How a check ended."""

    OK = "ok"
    #: A fact that concerns some programs.
    NOTE = "note"
    #: Something works, and will not for long or not for each program.
    WARNING = "warning"
    #: Something prevents the delivery.
    PROBLEM = "problem"
    #: The check had no subject, or no time.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found. No field holds a secret."""

    check: str
    status: Status
    text: str
    #: What helps, where something does.
    remedy: str = ""
    #: The id of the cause of a failure, if it is a known one.
    cause: str = ""
    details: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the fields that are not empty, as JSON can hold them."""
        fields = {
            "check": self.check,
            "status": self.status.value,
            "text": self.text,
            "remedy": self.remedy,
            "cause": self.cause,
            "details": dict(self.details),
        }
        return {name: value for name, value in fields.items() if value}


def ok(check: str, text: str, **details: object) -> Finding:
    """Return that all is well."""
    return Finding(check, Status.OK, text, details=details)


def note(check: str, text: str, **details: object) -> Finding:
    """Return a fact that concerns some programs."""
    return Finding(check, Status.NOTE, text, details=details)


def warning(check: str, text: str, remedy: str, **details: object) -> Finding:
    """Return what will not work for long, or not for each program."""
    return Finding(check, Status.WARNING, text, remedy, details=details)


def problem(check: str, seen: str, cause: Cause | None, remedy: str = "") -> Finding:
    """Return what prevents the delivery, for a known *cause* or with a *remedy*."""
    if cause is None:
        return Finding(check, Status.PROBLEM, seen, remedy)
    text = f"{seen}: {cause.sentence}"
    return Finding(check, Status.PROBLEM, text, cause.remedy, cause.id)


def skipped(check: str, text: str) -> Finding:
    """Return why there was no check."""
    return Finding(check, Status.SKIPPED, text)

"""Results for the inputs of conformance cases, made by the package."""

from __future__ import annotations

from typing import Any

from dtmetrics._protocol.normalize import clean_key
from tests.support.recorder import Recorder
from tests.support.vectors import Case


def prefixed_key(case_input: Case) -> str | None:
    """Return the metric key with its prefix, as the registry makes it."""
    key = clean_key(case_input["key"])
    return (
        clean_key(f"{case_input['prefix']}.{key or ''}")
        if case_input.get("prefix")
        else key
    )


def value_of(case_input: Case) -> Any:
    """Return the value of a case; numbers that JSON cannot hold are encoded in it."""
    value = case_input.get("value", case_input)
    if isinstance(value, dict) and "float" in value:
        return float(value["float"])
    return int(value["int"]) if isinstance(value, dict) else value


def recorded(kind: str, value: Any) -> list[str]:
    """Return the lines that recording *value* gives."""
    recorder = Recorder()
    if kind == "gauge":
        recorder.meter.gauge("a").set(value)
    else:
        recorder.meter.counter("a").inc(value)
    return recorder.lines()

"""What a case of the official tables asks for, made as the package makes it."""

from __future__ import annotations

from typing import Any

from dtmetrics._protocol.normalize import clean_key
from tests.support.recorder import Recorder
from tests.support.vectors import Case


def prefixed(given: Case) -> str | None:
    """Return the key of a metric, made as the registry makes it."""
    key = clean_key(given["key"])
    return clean_key(f"{given['prefix']}.{key or ''}") if given.get("prefix") else key


def value_of(given: Case) -> Any:
    """Return a number as JSON could not write it, or any other value."""
    value = given.get("value", given)
    if isinstance(value, dict) and "float" in value:
        return float(value["float"])
    return int(value["int"]) if isinstance(value, dict) else value


def recorded(kind: str, value: Any) -> list[str]:
    """Return what is sent when *value* is recorded."""
    recorder = Recorder()
    if kind == "gauge":
        recorder.meter.gauge("a").set(value)
    else:
        recorder.meter.counter("a").inc(value)
    return recorder.lines()

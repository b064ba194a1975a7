from __future__ import annotations

import logging
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Runtime

EXPORTER = MemoryExporter()


class Incomparable(MemoryExporter):
    """An exporter that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


def warnings(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, **arguments: Any
) -> list[str]:
    """Call configure() again; return what is logged as a warning."""
    caplog.clear()
    runtime.configure(**arguments)
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def ignored(names: str) -> list[str]:
    """Return the warning that names these settings."""
    return [
        "dtmetrics: configure() was ignored, because it has been called before with "
        f"other settings ({names}): force=True replaces them"
    ]


def test_same_settings(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """A second call with the same arguments, fewer of them or none logs nothing."""
    first = {
        "endpoint": "http://localhost:9",
        "token": "dt0c01.CANARY.x",
        "interval": None,
    }
    runtime.configure(**first, dimensions={"a": "b"})
    for arguments in ({}, first, {"dimensions": {"a": "b"}}, {"level": "info"}):
        assert warnings(runtime, caplog, **arguments) == []
    # The same in another form.
    assert (
        warnings(runtime, caplog, endpoint="http://LOCALHOST:9/metrics/ingest/") == []
    )


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"interval": 10}, "interval"),
        ({"interval": -1}, "interval"),
        (
            {"prefix": "shop", "level": "INFO", "dimensions": {"a": 1}},
            "prefix, dimensions",
        ),
        ({"exporter": MemoryExporter()}, "exporter"),
        ({"exporter": Incomparable()}, "exporter"),
        ({"exporter": EXPORTER, "strict": True}, "strict"),
        ({"token": "dt0c01.CANARY.y"}, "token"),
        ({"endpoint": "https://abc.example", "token": "x"}, "endpoint, token"),
    ],
    ids=range(8),
)
def test_other_settings(
    runtime: Runtime,
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    names: str,
) -> None:
    """A second call with other arguments logs which differ, without their values."""
    runtime.configure(exporter=EXPORTER, interval=None)
    assert warnings(runtime, caplog, **arguments) == ignored(names)


def test_other_token(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens are compared, and not shown."""
    endpoint = "http://localhost:9/x"
    runtime.configure(endpoint=endpoint, token="CANARY-1", interval=None)
    assert warnings(runtime, caplog, endpoint=endpoint, token="CANARY-1") == []
    assert warnings(runtime, caplog, token="CANARY-2") == ignored("token")
    assert warnings(runtime, caplog, token="CANARY-2\0") == ignored("token")


def test_what_runs_goes_on(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """The call that is ignored changes nothing, and one with ``force=True`` logs nothing."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    assert warnings(runtime, caplog, prefix="shop")
    assert warnings(runtime, caplog, prefix="shop", force=True) == []

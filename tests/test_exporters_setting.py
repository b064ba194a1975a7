from __future__ import annotations

from typing import Any

import pytest

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics.errors import ConfigError

CONSOLE = ConsoleExporter()


def problems(arguments: dict[str, Any], **environ: str) -> list[str]:
    """Return the problems of these settings."""
    with pytest.raises(ConfigError) as caught:
        Config.resolve(arguments, environ)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (7, "be a list of exporters, got 7"),
        ([], "have at least one exporter, and no None, got an object of type list"),
        ([None], "have at least one exporter, and no None, got an object of type list"),
        ([CONSOLE, CONSOLE], "have each exporter once, got an object of type list"),
        (
            [MemoryExporter],
            "be an instance, got the class MemoryExporter "
            "(did you mean MemoryExporter()?)",
        ),
        ([7], "have the methods export, close, reset_after_fork, got 7"),
        ("consol", "list console or dynatrace, got 'consol' (did you mean console?)"),
        ("console,", "list console or dynatrace, got ''"),
        ("console,console", "have each exporter once, got 'console,console'"),
    ],
)
def test_invalid(value: object, problem: str) -> None:
    """An invalid list is named with what it must be."""
    assert problems({"exporters": value}) == [f"exporters must {problem}"]


def test_variable_is_named() -> None:
    """A problem of the variable names the variable."""
    (problem,) = problems({}, DTMETRICS_EXPORTER="file")
    assert problem.startswith("DTMETRICS_EXPORTER must list console or dynatrace")


def test_conflicts() -> None:
    """Several exporters exclude a single one, and an endpoint of the program."""
    assert problems({"exporter": CONSOLE, "exporters": [MemoryExporter()]}) == [
        "exporter must be set without exporters, got both"
    ]
    given = {"exporters": [CONSOLE], "endpoint": Secret("http://localhost:1")}
    assert problems(given) == [
        "exporters must be set without endpoint and token, got one with endpoint"
    ]


def test_endpoint_of_the_environment_is_ignored() -> None:
    """The variables of an endpoint do not concern exporters that the program makes."""
    config = Config.resolve(
        {"exporters": [CONSOLE, MemoryExporter()]},
        {"DTMETRICS_ENDPOINT": "https://x.example", "DTMETRICS_EXPORTER": "console"},
    )
    assert config.exporters[0] is CONSOLE
    assert len(config.exporters) == 2
    assert not config.endpoint_from_file


def test_by_name() -> None:
    """The variable lists names; None is the exporter that posts to the endpoint."""
    config = Config.resolve({}, {"DTMETRICS_EXPORTER": "Console, DYNATRACE"})
    console, endpoint = config.exporters
    assert isinstance(console, ConsoleExporter)
    assert endpoint is None
    assert config.endpoint_from_file
    assert not Config.resolve({}, {"DTMETRICS_EXPORTER": "console"}).endpoint_from_file


def test_endpoint_beside_the_console() -> None:
    """With both, the endpoint of the settings is used, and checked."""
    environ = {"DTMETRICS_EXPORTER": "console,dynatrace"}
    config = Config.resolve(
        {"endpoint": Secret("https://x.example"), "token": Secret("t")}, environ
    )
    assert config.endpoint == "https://x.example/api/v2/metrics/ingest"
    (problem,) = problems({"endpoint": Secret("https://x.example")}, **environ)
    assert problem.startswith("token must be set")

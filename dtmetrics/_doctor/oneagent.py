"""The files of OneAgent and the Kubernetes operator, and what OneAgent measures."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dtmetrics._config.config import Config
from dtmetrics._config.platform_files import (
    endpoint_file,
    is_monitored,
    read_destination,
    read_enrichment,
)
from dtmetrics._doctor.finding import Finding, note, ok, skipped, warning

__all__ = ["platform_findings"]

_ONEAGENT_DIRECTORIES = (
    "/opt/dynatrace/oneagent",
    "/var/lib/dynatrace/oneagent",
    r"C:\Program Files\dynatrace\oneagent",
)

# https://docs.dynatrace.com/docs/observe-and-explore/metrics/built-in-metrics
_ONEAGENT_METRICS = (
    "builtin:tech.python.gc.*",
    "builtin:tech.python.heap.allocatedBlocks",
    "builtin:tech.python.activeThreads",
)


def platform_findings(config: Config) -> Iterator[Finding]:
    """Yield what is in the files, and whether OneAgent measures this process."""
    yield _enrichment(config)
    yield _operator_file(config)
    yield _oneagent()


def _enrichment(config: Config) -> Finding:
    if not config.enrich:
        return skipped("enrichment", "enrich=False")
    found = read_enrichment(config.platform_directory)
    if not found:
        return note(
            "enrichment",
            f"no dimensions: no file in {config.platform_directory}, "
            "and no OneAgent monitors this process",
        )
    text = f"{len(found)} dimensions are added: {', '.join(sorted(found))}"
    return ok("enrichment", text, dimensions=found)


def _operator_file(config: Config) -> Finding:
    path = endpoint_file(config.platform_directory)
    if not os.path.exists(path):
        return skipped("operator", f"there is no file {path}")
    endpoint, token = read_destination(path)
    if not endpoint:
        remedy = "check that this user may read it, and that it names an endpoint"
        return warning("operator", f"{path} cannot be used", remedy)
    has = "a token" if token else "no token"
    return ok("operator", f"{path} has an endpoint and {has}")


def _oneagent() -> Finding:
    if is_monitored():
        return warning(
            "oneagent",
            "OneAgent monitors this process, and measures Python and web requests "
            f"itself ({', '.join(_ONEAGENT_METRICS)})",
            "do not record the same again: each measurement would be paid twice",
        )
    if any(map(os.path.isdir, _ONEAGENT_DIRECTORIES)):
        return note(
            "oneagent",
            "a OneAgent is installed here, and does not monitor this process; where it "
            f"does, it measures {', '.join(_ONEAGENT_METRICS)} itself",
        )
    return skipped("oneagent", "no OneAgent is installed in this file system")

"""Makes what a configuration describes: an exporter, a spool, recording options.

``configure()`` imports this module, and with it the whole send path, in the thread that
calls it. ``import dtmetrics`` does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dtmetrics._config.config import Config
from dtmetrics._config.platform_files import (
    EndpointFileExporter,
    endpoint_file,
    read_destination,
    read_enrichment,
)
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._record.options import RecordingOptions
from dtmetrics.exporters import Exporter

if TYPE_CHECKING:
    from dtmetrics._spool.spool import Spool

__all__ = ["make_exporter", "open_spool", "recording_options"]


def make_exporter(
    config: Config,
    *,
    on_move: Callable[[], object],
    while_waiting: Callable[[], float],
) -> Exporter:
    """Return the exporter that posts to the endpoint of *config*.

    Without one it follows the file in which the Kubernetes operator names an endpoint,
    and calls *on_move* after each change. *while_waiting* is called during an export;
    it returns in how many seconds to call it again.
    """
    # httpx takes 0.1 s, which an exporter of the user's own does not need.
    from dtmetrics._export.deadline import DeadlineExporter  # noqa: PLC0415
    from dtmetrics._export.http import HttpExporter, preload  # noqa: PLC0415

    # An exporter of the user has no deadline: a thread that was abandoned would still
    # run during the next call, and exporters are called by one thread at a time.
    def post_to(target: Config) -> Exporter:
        exporter = HttpExporter(
            target.endpoint,
            target.token,
            local=target.local,
            resend=config.resend,
            ca_file=config.ca_file,
        )
        return DeadlineExporter(exporter, while_waiting)

    def follow(endpoint: Secret, token: Secret) -> Exporter:
        return post_to(config.with_destination(endpoint, token))

    preload()
    if not config.endpoint_from_file:
        return post_to(config)
    # While there is no file: the OneAgent on this host, which needs no token.
    fallback = post_to(replace(config, token=Secret("")))
    path = endpoint_file(config.platform_directory)
    return EndpointFileExporter(path, follow, fallback, on_move)


def open_spool(config: Config) -> Spool | None:
    """Return the spool of *config*, or None if it has none."""
    root = config.spool
    if root is None:
        return None
    # 6 ms, which only a program with a spool pays.
    from dtmetrics._spool.spool import Spool  # noqa: PLC0415

    if config.endpoint_from_file:
        # Batches for the environment that the operator's file names must not be sent to
        # another one, whose pods may share the directory.
        endpoint, token = read_destination(endpoint_file(config.platform_directory))
        config = call_safely(config.with_destination, endpoint, token, default=config)
    return Spool(
        root,
        config.tenant,
        now_ms=lambda: time.time_ns() // 1_000_000,
        clock=time.monotonic,
    )


def recording_options(config: Config) -> RecordingOptions:
    """Return how to record, with the dimensions that the platform's files name."""
    return RecordingOptions(
        prefix=config.prefix,
        dimensions={"dt.metrics.source": "dtmetrics", **config.dimensions},
        enrichment=(
            read_enrichment(config.platform_directory) if config.enrich else {}
        ),
        max_series_per_metric=config.max_series_per_metric,
        max_series=config.max_series,
        level=config.level,
        levels=config.levels,
        strict=config.strict,
    )

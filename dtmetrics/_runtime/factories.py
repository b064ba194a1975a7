"""Makes what a configuration describes: an exporter, a spool, recording options.

``configure()`` imports this module, and with it the whole send path, in the thread that
calls it. ``import dtmetrics`` does not.
"""

from __future__ import annotations

import logging  # noqa: F401 -- so that no fork meets the import in _core.log
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dtmetrics._config.certificate_settings import trusted_by_environment
from dtmetrics._config.config import Config
from dtmetrics._config.platform_files import (
    EndpointFileExporter,
    endpoint_file,
    read_destination,
    read_enrichment,
)
from dtmetrics._config.token_setting import read_callable, read_file
from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._deliver.backoff import RetryPolicy
from dtmetrics._deliver.delivery import DeliverySettings
from dtmetrics._deliver.destination import Target
from dtmetrics._deliver.schedule import Cadence
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics._record.rule import Rule
from dtmetrics._runtime.dynatrace_exporter import DynatraceExporter
from dtmetrics.exporters import Exporter

if TYPE_CHECKING:
    from dtmetrics._export.tls import TlsFiles
    from dtmetrics._spool.spool import Spool

__all__ = [
    "current_token",
    "delivery_settings",
    "destinations",
    "make_exporter",
    "make_targets",
    "open_spool",
    "recording_options",
    "tls_files",
]

# What ``cap="auto"`` means, for every metric key.
_FOLDING = (Rule(cap="auto"),)


def delivery_settings(config: Config) -> DeliverySettings:
    """Return how to deliver, to whichever exporter."""
    return DeliverySettings(
        cadence=Cadence(interval=config.interval),
        max_outbox_bytes=config.max_outbox_bytes,
        resend=config.resend,
        announce=config.announce,
        metadata=config.metadata,
        self_metrics=config.self_metrics,
        budget=config.budget,
    )


def make_targets(
    config: Config,
    *,
    on_move: Callable[[], object],
    while_waiting: Callable[[], float],
) -> list[Target]:
    """Return the exporters of *config*, each with what is decided about it alone.

    Raises ConfigError if a spool cannot be used. The arguments are those of
    ``make_exporter()``.
    """
    each = _each(config)
    sole = len(each) == 1

    def target(own: Config) -> Target:
        posts, located = own.exporter is None, _located(own)
        made, environment = own.exporter, located.environment
        if made is None:
            made = make_exporter(
                own,
                on_move=on_move,
                # Of several, each has a thread, and another one collects.
                while_waiting=while_waiting if sole else None,
            )
            if own.endpoint_from_file:
                # The exporter follows the file, whatever it names now.
                environment = endpoint_file(own.platform_directory)
        return Target(
            exporter=made,
            environment=environment if posts else id(made),
            spool=open_spool(located) if posts or sole else None,
            # A OneAgent on this host restarts in seconds, and serves it alone.
            policy=RetryPolicy(
                longest_pause=10.0 if own.local else 60.0,
                # A token that may change is read again each minute.
                longest_slow_pause=60.0 if own.token_changes else 300.0,
            ),
            spread_seconds=0.0 if own.stays_here else 30.0,
        )

    return [target(own) for own in each]


def destinations(config: Config) -> str:
    """Return a text that identifies where *config* sends to."""
    return " ".join(own.environment for own in _each(config))


def _each(config: Config) -> list[Config]:
    """Return *config* as it is for each of its exporters."""
    return [
        exporter.settings_with(config)
        if isinstance(exporter, DynatraceExporter)
        else replace(config, exporter=exporter, exporters=())
        for exporter in config.all_exporters
    ]


def make_exporter(
    config: Config,
    *,
    on_move: Callable[[], object] = bool,
    while_waiting: Callable[[], float] | None = None,
) -> Exporter:
    """Return the exporter that posts to the endpoint of *config*.

    Without one it follows the file in which the Kubernetes operator names an endpoint,
    and calls *on_move* after each change. *while_waiting* is called during an export;
    it returns in how many seconds to call it again.
    """
    # httpx takes 0.1 s, which an exporter of the user's own does not need.
    from dtmetrics._export.connections import Route  # noqa: PLC0415
    from dtmetrics._export.deadline import DeadlineExporter  # noqa: PLC0415
    from dtmetrics._export.http import HttpExporter, preload  # noqa: PLC0415
    from dtmetrics._export.token import RenewedToken, TokenExporter  # noqa: PLC0415

    logged: set[str] = set()

    # An exporter of the user has no deadline: a thread that was abandoned would still
    # run during the next call, and exporters are called by one thread at a time.
    def post_to(target: Config) -> Exporter:
        for note in target.notes:
            if note not in logged:  # the file may be read many times
                logged.add(note)
                log.warning("%s", note)
        renewed = RenewedToken(_token_reader(target)) if target.token_changes else None
        exporter = HttpExporter(
            target.endpoint,
            renewed or target.token,
            local=target.local,
            resend=config.resend,
            route=Route(target.proxy_in_use, tls_files(target)),
        )
        if config.compression and not target.local:
            exporter.compress()
        bounded = DeadlineExporter(exporter, while_waiting)
        return bounded if renewed is None else TokenExporter(bounded, renewed)

    def follow(endpoint: Secret, token: Secret) -> Exporter:
        return post_to(config.with_destination(endpoint, token))

    preload()
    if not config.endpoint_from_file:
        return post_to(config)
    # While there is no file: the OneAgent on this host, which needs no token.
    fallback = post_to(replace(config, token=Secret(""), token_file=None))
    path = endpoint_file(config.platform_directory)
    return EndpointFileExporter(path, follow, fallback, on_move)


def current_token(config: Config) -> Secret:
    """Return the token of *config*, from its file or function if it has one.

    Raises TokenUnavailableError, and any error of the function.
    """
    return _token_reader(config)() if config.token_changes else config.token


def _token_reader(config: Config) -> Callable[[], Secret]:
    """Return the function that reads the token of *config* again."""
    if config.token_file is not None:
        return partial(read_file, config.token_file, "token_file")
    # In a context of its own: instrumentation is suppressed in the flusher's, and the
    # requests of the application's callable are the application's.
    token = config.token.reveal()
    return lambda: Context().run(read_callable, token, "token")


def tls_files(config: Config) -> TlsFiles:
    """Return the certificates of *config*, or else those that the environment names."""
    from dtmetrics._export.tls import NO_PASSWORD, TlsFiles  # noqa: PLC0415

    ca_file, directory = config.ca_file, None
    if ca_file is None and config.endpoint.startswith("https:"):
        ca_file, directory, unusable = trusted_by_environment(
            config.certificate_variables
        )
        for name in unusable:
            log.warning("%s names no readable certificates, and is not used", name)
    return TlsFiles(
        ca_file=ca_file,
        ca_directory=directory,
        client_cert=config.client_cert,
        client_key=config.client_key,
        key_password=config.key_password or NO_PASSWORD,
    )


def _located(config: Config) -> Config:
    """Return *config* with the endpoint that the operator's file names, if it does.

    Batches for that environment must not be sent to another one, whose pods may share
    the directory of the spool.
    """
    if config.exporter is not None or not config.endpoint_from_file:
        return config
    endpoint, token = read_destination(endpoint_file(config.platform_directory))
    return call_safely(config.with_destination, endpoint, token, default=config)


def open_spool(config: Config) -> Spool | None:
    """Return the spool of *config*, or None if it has none."""
    root = config.spool
    if root is None:
        return None
    # 6 ms, which only a program with a spool pays.
    from dtmetrics._spool.spool import Spool  # noqa: PLC0415

    return Spool(
        root,
        config.environment,
        now_ms=lambda: time.time_ns() // 1_000_000,
        clock=time.monotonic,
    )


def _process_dimension(config: Config) -> str:
    """Return the key of the dimension with the number of the process, if any is added.

    Only a OneAgent on this host relates it to a process. All exporters get the same
    data points.
    """
    posting = [own for own in _each(config) if own.exporter is None]
    stay_here = bool(posting) and all(own.stays_here for own in posting)
    return config.process_dimension if stay_here else ""


def _numbered(config: Config, *, worker: bool) -> Numbered:
    if config.worker_dimension == "auto":
        # A parent of workers stays without a number, beside which theirs are unique.
        return Numbered.ALL if worker else Numbered.CHILDREN
    return Numbered.ALL if config.worker_dimension else Numbered.NONE


def recording_options(config: Config, *, worker: bool = False) -> RecordingOptions:
    """Return how to record, with the dimensions that the platform's files name.

    *worker* is whether this process is one of several of its kind.
    """
    return RecordingOptions(
        prefix=config.prefix,
        dimensions={"dt.metrics.source": "dtmetrics", **config.dimensions},
        enrichment=(
            read_enrichment(config.platform_directory) if config.enrich else {}
        ),
        process_dimension=_process_dimension(config),
        numbered=_numbered(config, worker=worker),
        max_series_per_metric=config.max_series_per_metric,
        max_series=config.max_series,
        level=config.level,
        levels=config.levels,
        rules=(*config.rules, *_FOLDING) if config.cap else config.rules,
        strict=config.strict,
    )

"""``configure()``: every setting, with its default and what it is for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from dtmetrics._core.level import Level
from dtmetrics._core.secret import hide_secrets
from dtmetrics._runtime.runtime import default

if TYPE_CHECKING:
    from dtmetrics.exporters import Exporter

__all__ = ["configure"]

F = TypeVar("F", bound=Callable[..., None])


def _configures(declared: F) -> F:
    """Return a function with the signature of *declared* that configures the runtime.

    It passes on only the arguments that were given. A default value wins over the
    environment if it was given, and the environment over it if it was not.
    """

    @wraps(declared)
    def configure(**given: Any) -> None:  # noqa: ANN401 -- a value of any setting
        # Error reporters print the local variables of this frame.
        given = hide_secrets(given)
        declared(**given)  # raises TypeError for a name that it lacks
        default.configure(**given)

    return cast("F", configure)


@_configures
def configure(  # noqa: PLR0913 -- every setting is a keyword
    *,
    endpoint: str | None = None,
    token: str | None = None,
    allow_plain_http: bool = False,
    ca_file: str | os.PathLike[str] | None = None,
    exporter: Exporter | None = None,
    prefix: str = "",
    dimensions: Mapping[str, object] | None = None,
    enrich: bool = True,
    level: Level = "INFO",
    levels: Mapping[str, Level] | None = None,
    max_series_per_metric: int = 2_000,
    max_series: int = 50_000,
    strict: bool = False,
    interval: float | None = 60.0,
    delivery: Literal["at_least_once", "at_most_once"] = "at_least_once",
    max_outbox_bytes: int = 33_554_432,
    spool: str | os.PathLike[str] | None = None,
    metadata: bool = True,
    self_metrics: bool = True,
    announce: bool = True,
    force: bool = False,
) -> None:
    """Start recording, and deliver what is recorded every *interval* seconds.

    The application calls it once, when it starts; nothing is recorded before. Without
    arguments, data points go to the OneAgent of this host.

    An argument wins over the environment variable of its setting, and the variable over
    the default. An empty variable counts as not set. So does the argument None, except
    for *interval*. All settings are checked before anything starts.

    Args: Destination
        endpoint (str | None): The URL to post to. For a Dynatrace environment or an
            ActiveGate the part before ``/api`` is enough
            (https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics).
            Default: the URL in the Kubernetes operator's ``endpoint.properties``, if
            that file exists, or else the OneAgent of this host,
            ``http://localhost:14499/metrics/ingest``
            (https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api).
            Environment: ``DTMETRICS_ENDPOINT``, or else ``DT_METRICS_INGEST_URL``.
            Example: ``endpoint="https://abc12345.live.dynatrace.com"``.
        token (str | None): An access token with the scope ``metrics.ingest``. It is
            required for each endpoint on another host, and never logged. Default: none.
            Environment: ``DTMETRICS_TOKEN``, or else ``DT_METRICS_INGEST_API_TOKEN``.
            Example: ``token=Path("/run/secrets/dynatrace").read_text()``.
        allow_plain_http (bool): Send the token unencrypted, to an ``http://`` endpoint
            on another host. Default: False. Example: ``allow_plain_http=True``.
        ca_file (str | os.PathLike | None): A file of PEM certificates to trust instead
            of the system's, for an ActiveGate with its own. Default: the system's, or
            those of ``SSL_CERT_FILE``. Environment: ``DTMETRICS_CA_FILE``. Example:
            ``ca_file="/etc/ssl/activegate.pem"``.
        exporter (Exporter | None): Gets the data points instead of the endpoint; see
            ``dtmetrics.exporters``. *endpoint* and *token* must not be given with it.
            Default: an exporter that posts to *endpoint*. Example:
            ``exporter=ConsoleExporter()``.

    Args: Recording
        prefix (str): Begins every metric key, with a dot after it. It has at most 100
            characters and must not begin with ``dt.``. Default: ``""``, none.
            Environment: ``DTMETRICS_PREFIX``. Example: ``prefix="shop"``.
        dimensions (Mapping[str, object] | None): Keys and values that are added to
            every data point. More specific ones (of a meter, an instrument, a context
            or a call) win over them. Default: none. Environment:
            ``DTMETRICS_DIMENSIONS=service=shop,stage=test``. Example:
            ``dimensions={"service": "shop"}``.
        enrich (bool): Add the dimensions by which OneAgent and the Kubernetes operator
            identify this process, its pod and its host. They win over all others
            (https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-data).
            Default: True. Environment: ``DTMETRICS_ENRICH=false``. Example:
            ``enrich=False``.
        level (Level): The lowest level of an instrument that records: a name or number,
            as in logging. Default: ``"INFO"``. Environment: ``DTMETRICS_LEVEL=DEBUG``.
            Example: ``level="WARNING"``.
        levels (Mapping[str, Level] | None): The same for single meters, by name, and
            for those below them: ``"shop"`` also for ``"shop.db"``. Default: none.
            Example: ``levels={"shop.db": "DEBUG"}``.
        max_series_per_metric (int): How many series one metric key may have, at least
            1. Values beyond that are recorded into a common series of the key, which
            has the dimension ``dtmetrics.overflow="true"`` instead of theirs. Default:
            2000. Example: ``max_series_per_metric=500``.
        max_series (int): How many series all keys together may have, at least 1. Values
            beyond that are recorded into the common series of their keys. A tenth is
            left to the first series of new keys; a key without any series beyond that
            is counted in ``stats().invalid``. Default: 50000. Example:
            ``max_series=10_000``.
        strict (bool): Raise a DefinitionError for an invalid definition, instead of
            logging it. For tests and development. Default: False. Example:
            ``strict=True``.

    Args: Delivery
        interval (float | None): Seconds from one collection to the next, more than 0
            and at most 86400. Collections come at full intervals of the wall clock, and
            the first one of a process after at most 5 seconds. With None there is no
            thread: only ``flush()`` and the end of the program deliver. Default: 60.0.
            Environment: ``DTMETRICS_INTERVAL=10``. Example: ``interval=10``.
        delivery (str): What happens to a batch that was sent and not answered.
            ``"at_least_once"``: it is sent once more, and may count twice.
            ``"at_most_once"``: it is dropped. Default: ``"at_least_once"``.
            Environment: ``DTMETRICS_DELIVERY``. Example: ``delivery="at_most_once"``.
        max_outbox_bytes (int): Bytes of memory for the batches that wait while the
            endpoint is down, at least 1. Beyond them the oldest are dropped. Default:
            33554432 (32 MiB). Example: ``max_outbox_bytes=8 << 20``.
        spool (str | os.PathLike | None): A directory that also stores what waits, so
            that it outlives the process: at most 64 MiB, readable by this user alone.
            Default: none. Environment: ``DTMETRICS_SPOOL``. Example:
            ``spool="/var/lib/shop/metrics"``.
        metadata (bool): Send the unit and the description of each metric key, once per
            process. Default: True. Example: ``metadata=False``.
        self_metrics (bool): Send ``dtmetrics.client.points.dropped`` and
            ``dtmetrics.client.values.invalid``, by reason, unless they are zero.
            Default: True. Example: ``self_metrics=False``.
        announce (bool): Print on a terminal, once, where the first data points arrived,
            if logging is not set up. The same is logged at INFO in any case. Default:
            True. Environment: ``DTMETRICS_ANNOUNCE=false``. Example:
            ``announce=False``.

    Args: A second call
        force (bool): Shut the running configuration down, within 5 seconds, and replace
            it. Gauges lose their values. Without *force* a second call changes nothing.
            Default: False. Example: ``force=True``.

    Raises:
        ConfigError: A setting is invalid. ``problems`` has a sentence for each.
        DefinitionError: An instrument that was defined before the call has an invalid
            definition, and *strict* is true.
        TypeError: An argument is not a setting.

    >>> from dtmetrics import MemoryExporter, configure, shutdown
    >>> configure(exporter=MemoryExporter(), dimensions={"service": "shop"})
    >>> shutdown()
    True
    >>> configure(interval=-1)
    Traceback (most recent call last):
        ...
    dtmetrics.errors.ConfigError: interval must be between 0 and 86400 seconds, got -1
    """

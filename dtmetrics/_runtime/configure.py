"""``configure()``: every setting, with its default and what it is for."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from dtmetrics._core.level import Level
from dtmetrics._core.secret import hide_secrets
from dtmetrics._record.rule import Rule
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
    token: str | Callable[[], str] | None = None,
    token_file: str | os.PathLike[str] | None = None,
    allow_plain_http: bool = False,
    proxy: str | Literal[False] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    client_cert: str | os.PathLike[str] | None = None,
    client_key: str | os.PathLike[str] | None = None,
    key_password: str | None = None,
    compression: Literal["gzip"] | None = None,
    exporter: Exporter | None = None,
    exporters: Sequence[Exporter] | None = None,
    prefix: str = "",
    dimensions: Mapping[str, object] | None = None,
    enrich: bool = True,
    process_dimension: bool | Literal["dt.process.pid", "dt.process.id"] = False,
    worker_dimension: bool | Literal["auto"] = "auto",
    runtime: bool | Collection[str] = False,
    level: Level = "INFO",
    levels: Mapping[str, Level] | None = None,
    rules: Sequence[Rule] | None = None,
    cap: Literal["auto"] | None = None,
    max_series_per_metric: int = 2_000,
    max_series: int = 50_000,
    budget: int | None = None,
    strict: bool = False,
    interval: float | None = 60.0,
    delivery: Literal["at_least_once", "at_most_once"] = "at_least_once",
    max_outbox_bytes: int = 33_554_432,
    spool: str | os.PathLike[str] | None = None,
    metadata: bool = True,
    self_metrics: bool = True,
    announce: bool = True,
    flush_at_os_exit: bool = True,
    travels: bool = True,
    force: bool = False,
) -> None:
    """Start recording, and deliver what is recorded every *interval* seconds.

    The application calls it once, when it starts; nothing is recorded before. Without
    arguments, data points go to the OneAgent of this host.

    An argument wins over the environment variable of its setting, the variable over the
    file of settings that ``DTMETRICS_CONFIG`` names, and that over the default; see
    ``file_config()``. An empty variable counts as not set. So does the argument None,
    except for *interval*. All settings are checked before anything starts. With
    ``DTMETRICS_DISABLED=true`` in the environment, the call returns without checking
    its arguments, and nothing is recorded.

    Args: Destination
        endpoint (str | None): The URL to post to. For a Dynatrace environment or an
            ActiveGate the part before ``/api`` is enough, and for a OneAgent
            ``http://localhost:PORT``
            (https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics).
            Default: the URL in the Kubernetes operator's ``endpoint.properties``, if
            that file exists, or else the OneAgent of this host,
            ``http://localhost:14499/metrics/ingest``
            (https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api).
            Environment: ``DTMETRICS_ENDPOINT``, or else ``DT_METRICS_INGEST_URL``.
            Example: ``endpoint="https://abc12345.live.dynatrace.com"``.
        token (str | Callable[[], str] | None): An access token with the scope
            ``metrics.ingest``, or a function that returns one. A token is required for
            each endpoint on another host, and never logged. The function is called
            before a request, once a minute, and at once after a 401 or 403; if it
            raises, the last token stays in use. Default: none. Environment:
            ``DTMETRICS_TOKEN``, or else ``DT_METRICS_INGEST_API_TOKEN``. Example:
            ``token=lambda: vault.read("dynatrace")``.
        token_file (str | os.PathLike | None): A file that holds the token. It is read
            again before a request, once a minute, and at once after a 401 or 403, so
            that a new token needs no restart. *token* must not be given with it.
            Default: none. Environment: ``DTMETRICS_TOKEN_FILE``. Example:
            ``token_file="/run/secrets/dynatrace"``.
        allow_plain_http (bool): Send the token unencrypted, to an ``http://`` endpoint
            on another host. The Kubernetes operator's file needs no permission for an
            ActiveGate in the cluster. Default: False. Environment:
            ``DTMETRICS_ALLOW_PLAIN_HTTP=true``. Example: ``allow_plain_http=True``.
        proxy (str | Literal[False] | None): The URL of an http or https proxy, with
            percent-encoded credentials if it needs any, which are never logged. False:
            no proxy. It is not used for this host, nor for an ``http://`` endpoint
            without *allow_plain_http*. Default: none, which leaves it to the variables
            ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in either
            case. Environment: ``DTMETRICS_PROXY``. Example:
            ``proxy="http://proxy.example:3128"``.
        ca_file (str | os.PathLike | None): A file of PEM certificates to trust instead
            of the system's: of authorities, or of the endpoint itself. It is read again
            within a minute if its content changes, as are the two files below. Default:
            the system's, or those that ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` or
            ``REQUESTS_CA_BUNDLE`` names. Environment: ``DTMETRICS_CA_FILE``. Example:
            ``ca_file="/etc/ssl/activegate.pem"``.
        client_cert (str | os.PathLike | None): A PEM file of the certificate by which
            an endpoint that requires one identifies this client. Default: none.
            Environment: ``DTMETRICS_CLIENT_CERT``. Example:
            ``client_cert="/etc/ssl/shop.pem"``.
        client_key (str | os.PathLike | None): A PEM file of the private key of
            *client_cert*. Default: none, if *client_cert* holds it too. Environment:
            ``DTMETRICS_CLIENT_KEY``. Example: ``client_key="/etc/ssl/shop.key"``.
        key_password (str | None): The password of the key, if it is encrypted. It is
            never logged. Default: none. Environment: ``DTMETRICS_KEY_PASSWORD``.
            Example: ``key_password=Path("/run/secrets/password").read_text()``.
        compression (str | None): ``"gzip"``: compress what is posted to another host.
            Dynatrace does not document it. If the endpoint does not take it, that is
            logged once, and everything is sent uncompressed. Default: none.
            Environment: ``DTMETRICS_COMPRESSION``. Example: ``compression="gzip"``.
        exporter (Exporter | None): Gets the data points instead of the endpoint; see
            ``dtmetrics.exporters``. *endpoint* and *token* must not be given with it.
            Default: an exporter that posts to *endpoint*. Example:
            ``exporter=ConsoleExporter()``.
        exporters (Sequence[Exporter] | None): Several exporters that get all data
            points, instead of *exporter*. Each has an outbox of *max_outbox_bytes*, an
            account, a backoff and a thread of its own, so that a slow one delays none
            of the others. The *spool* is for those that post to an endpoint. No
            instrument is quarantined while there are several. The environment variable
            lists names: ``dynatrace`` is the exporter that posts to *endpoint*,
            ``console`` a ConsoleExporter. Default: none. Environment:
            ``DTMETRICS_EXPORTER=console,dynatrace``. Example:
            ``exporters=[ConsoleExporter(), DynatraceExporter()]``.

    Args: Recording
        prefix (str): Begins every metric key, with a dot after it. It has at most 100
            characters and must not begin with ``dt.``. Default: ``""``, none.
            Environment: ``DTMETRICS_PREFIX``. Example: ``prefix="shop"``.
        dimensions (Mapping[str, object] | None): Keys and values that are added to
            every data point. More specific ones (of a meter, an instrument, a context
            or a call) win over them. Those of the variable are added to those of the
            argument, which win by key. Default: none. Environment:
            ``DTMETRICS_DIMENSIONS=service=shop,stage=test``. Example:
            ``dimensions={"service": "shop"}``.
        enrich (bool): Add the dimensions by which OneAgent and the Kubernetes operator
            identify this process, its pod and its host. They win over all others of the
            same key. Beyond 50 dimensions they are the first to be left out
            (https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-data).
            Default: True. Environment: ``DTMETRICS_ENRICH=false``. Example:
            ``enrich=False``.
        process_dimension (bool | str): Add the number of the process, by which the
            OneAgent of this host relates a data point to a process of Dynatrace. True
            adds it as ``"dt.process.pid"``; ``"dt.process.id"`` is the key on an older
            page of the documentation. It is added only if each endpoint is on this
            host, and only if enrichment does not name the process. Each process and
            each restart makes series of its own. Default: False. Environment:
            ``DTMETRICS_PROCESS_DIMENSION=true``. Example: ``process_dimension=True``.
        worker_dimension (bool | str): Add the dimension ``dtmetrics.worker`` to gauges,
            observed ones too: a small number for each worker, which the next worker
            takes over. Without it the gauges of several workers are one series, and
            Dynatrace shows their average. ``"auto"``: only in a process that is one of
            several of its kind, such as a worker of a server or the child of a process.
            True: always. False: never. A gauge with ``per_worker=False`` has none.
            Counters and summaries of all workers add up without it. Default:
            ``"auto"``. Environment: ``DTMETRICS_WORKER_DIMENSION=false``. Example:
            ``worker_dimension=False``.
        runtime (bool | Collection[str]): Observe the process itself: True, or a list of
            the groups ``"cpu"``, ``"memory"``, ``"paging"``, ``"threads"``,
            ``"descriptors"``, ``"context_switches"``, ``"gc"`` and ``"uptime"``. The
            names are OpenTelemetry's
            (https://opentelemetry.io/docs/specs/semconv/system/process-metrics/).
            Totals are counted from this call on, and in a forked child from the fork
            on. They are sent from the first record of the process on. What needs
            psutil on this system is left out without the extra ``runtime``. Default:
            False. Environment: ``DTMETRICS_RUNTIME=cpu,gc``. Example:
            ``runtime=["cpu", "memory", "gc"]``.
        level (Level): The lowest level of an instrument that records: a name or number,
            as in logging. With ``"OFF"`` none does. Default: ``"INFO"``. Environment:
            ``DTMETRICS_LEVEL=DEBUG``. Example: ``level="WARNING"``.
        levels (Mapping[str, Level] | None): The same for single meters, by name, and
            for those below them: ``"shop"`` also for ``"shop.db"``. Those of the
            variable are added to those of the argument, which win by name. Default:
            none. ``set_level()`` changes them while the program runs. Environment:
            ``DTMETRICS_LEVELS=shop.db=DEBUG,shop.http=OFF``.
            Example: ``levels={"shop.db": "DEBUG"}``.
        rules (Sequence[Rule] | None): Leave metrics out, rename them, change or cap
            their dimensions: mappings as `Rule` describes them, applied in their order.
            They apply to every series that is made, and not to dimensions of the
            platform. Counters and summaries that a rule merges add up. Of gauges that
            one would merge, the first stays, and values of the others are counted in
            ``stats().invalid``. A rule's level wins over that of a meter. Default:
            none. Environment: ``DTMETRICS_RULES=[{"key": "jwt.*", "deny": true}]``, in
            JSON; these come after those of the argument. Example:
            ``rules=[{"key": "jwt.*", "deny": True}]``.
        cap (str | None): ``"auto"``: before a metric key of a counter or a summary
            reaches *max_series_per_metric*, its dimension with the most values gets no
            further ones. New values are recorded as ``__other__``, and all other
            dimensions stay. Default: none. Environment: ``DTMETRICS_CAP=auto``.
            Example: ``cap="auto"``.
        max_series_per_metric (int): How many series one metric key may have, at least
            1. Values beyond that are recorded into a common series of the key, which
            has the dimension ``dtmetrics.overflow="true"`` instead of theirs. Default:
            2000. Environment: ``DTMETRICS_MAX_SERIES_PER_METRIC``. Example:
            ``max_series_per_metric=500``.
        max_series (int): How many series all keys together may have, at least 1. Values
            beyond that are recorded into the common series of their keys. A tenth is
            left to the first series of new keys; a key without any series beyond that
            is counted in ``stats().invalid``. Default: 50000. Environment:
            ``DTMETRICS_MAX_SERIES``. Example: ``max_series=10_000``.
        budget (int | None): Data points a minute of this process, at least 1. A warning
            is logged when the last collection reaches 80 % of it, and another one at
            100 %, each at most once an hour, with the five most expensive metrics.
            Nothing is dropped. See ``stats().cost``. Default: none. Environment:
            ``DTMETRICS_BUDGET``. Example: ``budget=1_000``.
        strict (bool): Raise a DefinitionError for an invalid definition, instead of
            logging it. For tests and development. Default: False. Environment:
            ``DTMETRICS_STRICT=true``. Example: ``strict=True``.

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
            33554432 (32 MiB). Environment: ``DTMETRICS_MAX_OUTBOX_BYTES``. Example:
            ``max_outbox_bytes=8 << 20``.
        spool (str | os.PathLike | None): A directory that also stores what waits, so
            that it outlives the process: at most 64 MiB for each endpoint, readable by
            this user alone. A later process with the same endpoint sends it, also with
            another token. Default: none. Environment: ``DTMETRICS_SPOOL``. Example:
            ``spool="/var/lib/shop/metrics"``.
        metadata (bool): Send the unit and the description of each metric key, once per
            process. Default: True. Environment: ``DTMETRICS_METADATA=false``. Example:
            ``metadata=False``.
        self_metrics (bool): Send ``dtmetrics.client.points.dropped`` and
            ``dtmetrics.client.values.invalid``, by reason, unless they are zero.
            Default: True. Environment: ``DTMETRICS_SELF_METRICS=false``. Example:
            ``self_metrics=False``.
        announce (bool): Print on a terminal, once, where the first data points arrived,
            if logging is not set up. The same is logged at INFO in any case. Default:
            True. Environment: ``DTMETRICS_ANNOUNCE=false``. Example:
            ``announce=False``.
        flush_at_os_exit (bool): Deliver also before ``os._exit()``, which calls no exit
            handler and by which Celery, RQ, Airflow and PySpark end their workers, and
            at the end of each task of Ray and PySpark, which may kill their workers
            after it. It takes at most 2 seconds, and nothing in a process that has
            recorded nothing. Default: True. Environment:
            ``DTMETRICS_FLUSH_AT_OS_EXIT=false``.
            Example: ``flush_at_os_exit=False``.
        travels (bool): Configure the workers that get a pickle with an instrument, a
            meter or a decorated function, and do not call ``configure()`` themselves.
            All other settings travel with the pickle, but for secrets (*token*,
            *key_password*, a *proxy* with credentials) and *exporter*, *exporters* and
            *announce*. The token comes from the environment of the worker, from
            *token_file* or from the operator's file. A variable of the worker wins over
            a variable of this process, and loses to an argument. Where a setting cannot
            be used, that is logged once, and nothing is recorded. Default: True.
            Environment: ``DTMETRICS_TRAVELS=false``, here or in the worker. Example:
            ``travels=False``.

    Args: A second call
        force (bool): Replace the running configuration, within 5 seconds. Recording
            goes on meanwhile, and gauges, observed totals and active blocks keep their
            values. What waits for the same endpoint is sent with the new settings. What
            waits for another one is sent to that in time, or else to the new one; where
            several exporters follow, it is counted as dropped.
            ``shutdown()`` before the call discards all values. Without *force* a second
            call changes nothing; if an argument differs from the running setting, a
            warning is logged. Default: False. Example: ``force=True``.

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

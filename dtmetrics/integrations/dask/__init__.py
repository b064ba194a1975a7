"""Metrics of a Dask cluster: the tasks of its workers, and its scheduler.

>>> from distributed import Client, LocalCluster
>>> from dtmetrics.integrations.dask import instrument_dask, uninstrument_dask
>>> options = {"processes": False, "n_workers": 1, "dashboard_address": ":0"}
>>> with LocalCluster(**options) as cluster, Client(cluster) as client:
...     instrument_dask(client)
...     uninstrument_dask(client)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.dask.scheduler_plugin import SchedulerMetrics
from dtmetrics.integrations.dask.worker_plugin import WorkerMetrics

if TYPE_CHECKING:
    from distributed import Client, Scheduler

    from dtmetrics._record.meter import Meter

__all__ = ["instrument_dask", "uninstrument_dask"]


def instrument_dask(client: Client, *, meter: Meter | None = None) -> Any:  # noqa: ANN401 -- an awaitable, of an asynchronous client
    """Record what the workers and the scheduler of *client* do.

    Workers that join later record as well, and so do those that are restarted. Each
    process must have called ``configure()``. A worker that is closed delivers what it
    has recorded. The names are those of Dask's own metrics for Prometheus
    (https://distributed.dask.org/en/stable/prometheus.html), where it has one.

    Each execution of a task is recorded in the worker, also one whose result Dask
    discards, as ``dask.worker.task.duration``, in seconds, and as
    ``dask.worker.task.executions``. Dimensions are the prefix of the task's key, the
    outcome and, of a task that raised, the class of the exception. Gauges are the tasks
    of the worker by state, its threads, its open transfers and its managed memory; the
    workers of one process add up. Gauges of the scheduler are its workers and tasks by
    state and its clients. It counts the workers that come and go.

    A second call does nothing. With an asynchronous client, await the result.

    Args:
        client (Client): A client of the cluster.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.dask")``.

    Raises:
        ImportError: A worker or the scheduler cannot import dtmetrics.

    >>> from distributed import Client, LocalCluster
    >>> from dtmetrics.integrations.dask import instrument_dask
    >>> options = {"processes": False, "n_workers": 1, "dashboard_address": ":0"}
    >>> with LocalCluster(**options) as cluster, Client(cluster) as client:
    ...     instrument_dask(client)
    ...     client.submit(sum, [1, 2]).result()
    3
    """
    return client.sync(_register, client, meter or default.get_meter(__name__))


def uninstrument_dask(client: Client) -> Any:  # noqa: ANN401 -- as above
    """Stop recording what the workers and the scheduler of *client* do.

    What they have recorded is delivered. Without `instrument_dask` before, it does
    nothing. With an asynchronous client, await the result.

    >>> from distributed import Client, LocalCluster
    >>> from dtmetrics.integrations.dask import uninstrument_dask
    >>> options = {"processes": False, "n_workers": 1, "dashboard_address": ":0"}
    >>> with LocalCluster(**options) as cluster, Client(cluster) as client:
    ...     uninstrument_dask(client)
    """
    return client.run_on_scheduler(_unregister)


async def _register(client: Client, meter: Meter) -> None:
    # In the client's event loop its methods return awaitables.
    await client.register_plugin(SchedulerMetrics(meter))
    await client.register_plugin(WorkerMetrics(meter))


async def _unregister(dask_scheduler: Scheduler) -> None:
    """Remove the plugins; Dask runs it in the scheduler."""
    # For one that is not registered Dask would log an error.
    if WorkerMetrics.name in dask_scheduler.worker_plugins:
        await dask_scheduler.unregister_worker_plugin(None, WorkerMetrics.name)
    dask_scheduler.plugins.pop(SchedulerMetrics.name, None)

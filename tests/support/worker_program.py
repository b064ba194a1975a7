"""A program whose workers call what it has decorated in ``__main__``."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any

from dtmetrics import Counter as AnyCounter
from dtmetrics import configure, context, flush, get_meter, timed

RUNS = get_meter("tasks").counter("task.runs", unit="{run}")


@timed("task.duration")
def work(number: int) -> int:
    """Count, in a timed function."""
    RUNS.inc(number)
    return number


@timed("task.duration")
@context(tenant="acme")
def factorial(number: int) -> int:
    """Count, in a function that calls itself."""
    RUNS.inc(1 if number else 0)
    return number * factorial(number - 1) if number else 1


@dataclasses.dataclass
class Job:
    """A task that is an object, with a bound instrument and a decorated method."""

    runs: AnyCounter

    @timed("task.duration")
    def run(self, number: int) -> int:
        """Count, in a timed method."""
        self.runs.inc(number)
        return number


def sent(task: Callable[[int], int], number: int) -> int:
    """Do *task* in a worker, and deliver what it recorded."""
    configure(interval=None)
    result = task(number)
    assert flush()
    return result


#: How many numbers, from 1 on, each task is called with.
NUMBERS = 6
TASKS: list[Callable[[int], int]] = [
    work,
    factorial,
    Job(RUNS.bind(kind="job")).run,
    functools.partial(work),
]
#: The total of the counter, and the calls that are timed.
RUN = 4 * 21
TIMED = 3 * 6 + 21 + 6


def in_multiprocessing(method: str, calls: list[Any]) -> list[int]:
    """Use a pool of processes that *method* starts."""
    import multiprocessing

    pool = multiprocessing.get_context(method).Pool(2)
    results = pool.starmap(sent, calls, chunksize=1)
    pool.close()
    pool.join()
    return results


def in_executor(method: str, calls: list[Any]) -> list[int]:
    """Use an executor of processes that *method* starts."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(sent, *zip(*calls, strict=True)))


def in_joblib(_: str, calls: list[Any]) -> list[int]:
    """Use joblib, whose loky pickles by cloudpickle."""
    from joblib import Parallel, delayed

    results: list[int] = Parallel(n_jobs=2)(delayed(sent)(*call) for call in calls)
    return results


def in_dask(_: str, calls: list[Any]) -> list[int]:
    """Use a cluster of Dask."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        results: list[int] = client.gather(client.map(sent, *zip(*calls, strict=True)))
        return results


if __name__ == "__main__":
    _, kind, method = sys.argv
    calls = [(task, number) for task in TASKS for number in range(1, NUMBERS + 1)]
    results = globals()[f"in_{kind}"](method, calls)
    assert results[: NUMBERS + 1] == [1, 2, 3, 4, 5, 6, 1]

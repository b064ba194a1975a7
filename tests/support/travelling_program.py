"""A program whose workers learn from pickles alone where to send what they record."""

from __future__ import annotations

import sys
from typing import Any

from dtmetrics import configure, counter, timed

NUMBERS = range(40)
RUNS = counter("task.runs", unit="{run}")


@timed("task.duration")
def decorated(number: int) -> int:
    """Be timed."""
    return number


def counts(number: int) -> int:
    """Count, and call a decorated function, in one that is not."""
    RUNS.inc()
    return decorated(number)


class Actor:
    """An object of a worker."""

    def work(self, number: int) -> int:
        """Count."""
        return counts(number)


def in_executor(_: str) -> list[int]:
    """Use new interpreters, which import this file under another name."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        return list(pool.map(timed_and_counted, NUMBERS))


@timed("task.duration")
def timed_and_counted(number: int) -> int:
    """Be timed, and count; it is pickled by its name."""
    RUNS.inc()
    return number


def in_joblib(_: str) -> list[int]:
    """Use joblib, whose loky pickles by cloudpickle."""
    from joblib import Parallel, delayed

    results: list[int] = Parallel(n_jobs=2)(delayed(counts)(n) for n in NUMBERS)
    return results


def in_dask(_: str) -> list[int]:
    """Use a cluster of Dask."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        results: list[int] = client.gather(client.map(counts, NUMBERS))
        return results


def in_ray(kind: str) -> list[int]:
    """Use Ray, on this host."""
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80_000_000,
        _node_ip_address="127.0.0.1",
        logging_level="ERROR",
    )
    try:
        task: Any = ray.remote(counts)
        if kind == "actor":
            task = ray.remote(Actor).remote().work
        results: list[int] = ray.get([task.remote(number) for number in NUMBERS])
    finally:
        ray.shutdown()
    return results


def in_spark(kind: str) -> list[int]:
    """Use Spark, on this host."""
    from pyspark.sql import SparkSession

    build: Any = SparkSession.builder
    spark = (
        build.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "512m")
        .getOrCreate()
    )
    try:
        if kind == "map":
            rows = spark.sparkContext.parallelize(NUMBERS, 2)
            return list(rows.map(counts).collect())
        from pyspark.sql import functions

        if kind == "pandas_udf":
            # Without annotations: PySpark would look for pandas in this module.
            @functions.pandas_udf("long")
            def column(numbers):  # type: ignore[no-untyped-def]
                return numbers.map(counts)
        else:
            column = functions.udf(counts, "long")
        numbers = spark.range(len(NUMBERS), numPartitions=2)
        selected = numbers.select(column("id").alias("result")).collect()
        return sorted(row["result"] for row in selected)
    finally:
        spark.stop()


if __name__ == "__main__":
    _, engine, kind, url = sys.argv
    configure(endpoint=url, dimensions={"service": "shop"}, interval=3_600.0)
    assert globals()[f"in_{engine}"](kind) == list(NUMBERS)

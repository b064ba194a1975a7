"""The task of Celery, which fans out over a pool of processes and a Dask cluster."""

import os

from billiard import Pool
from celery import Celery
from distributed import Client
from pipeline_steps import add, draw

from dtmetrics import counter

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
SCHEDULER = os.environ.get("DASK_SCHEDULER", "tcp://127.0.0.1:8786")

app = Celery("pipeline_tasks", broker=REDIS, backend=REDIS)
made = counter("reports.made", unit="{report}")


@app.task(name="make_report")
def make_report(charts: int, chunks: int) -> int:
    """Return the total of a report."""
    pool = Pool(2)
    pool.map(draw, range(charts), chunksize=1)
    pool.close()
    pool.join()  # its processes deliver when they end
    with Client(SCHEDULER) as client:
        sums: list[int] = client.gather(client.map(add, range(chunks), pure=False))
    made.inc()
    return sum(sums)

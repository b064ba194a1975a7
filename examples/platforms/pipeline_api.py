"""The application, which publishes a task for each report that is requested."""

import os

from celery import Celery
from fastapi import FastAPI

from dtmetrics import configure, counter
from dtmetrics.integrations.fastapi import Metrics

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

configure()
requested = counter("reports.requested", unit="{report}")
celery = Celery(broker=REDIS, backend=REDIS)
app = FastAPI()
Metrics(app)


@app.post("/reports", status_code=202)
def request_report(charts: int = 3, chunks: int = 4) -> dict[str, str]:
    """Publish the task."""
    requested.inc()
    return {"key": celery.send_task("make_report", [charts, chunks]).id}


@app.get("/reports/{key}")
def report(key: str) -> dict[str, int]:
    """Return the report, once it has been made."""
    return {"total": celery.AsyncResult(key).get(timeout=60)}

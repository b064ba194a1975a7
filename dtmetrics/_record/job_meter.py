"""The part of a meter that makes jobs: ``job()``."""

from __future__ import annotations

from collections.abc import Mapping

from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instrument_maker import check_name
from dtmetrics._record.instruments import Summary
from dtmetrics._record.job import NAME, Job, JobInstruments, RunningJobs
from dtmetrics._record.observing_meter import ObservingMeter
from dtmetrics._record.worker_dimension import same_in_workers

__all__ = ["JobMeter"]


class JobMeter(ObservingMeter):
    """Makes jobs, which share what they record into."""

    _jobs: JobInstruments | None = None

    def job(
        self, name: str, /, *, dimensions: Mapping[str, object] | None = None
    ) -> Job:
        """Record the runs of a job (as a decorator, or by ``with``), and their success.

        The metrics are ``job.duration``, ``job.last_success`` and ``job.uptime``: see
        `Job`. A decorated function, coroutine function or generator keeps its type,
        signature and behaviour.

        Args:
            name (str): The name of the job, which is the dimension ``job.name``.
            dimensions (Mapping[str, object] | None): Keys and values that are added to
                everything that the job records. Default: none.

        Raises:
            TypeError: *name* is a function, because the decorator was written without
                parentheses.

        >>> from dtmetrics import job
        >>> @job("nightly.import", dimensions={"region": "eu"})
        ... def import_orders():
        ...     pass
        """
        check_name("job", name)
        instruments = self._jobs or self._make_job_instruments()
        return Job(self, {NAME: name, **(dimensions or {})}, instruments)

    def _make_job_instruments(self) -> JobInstruments:
        running = RunningJobs()
        self._jobs = instruments = JobInstruments(
            self._maker.make(
                Summary, "job.duration", "s", "Duration of a run", "INFO", None
            ),
            self._maker.make(
                Gauge,
                "job.last_success",
                "s",
                "Time of the last success, in seconds since 1970",
                "INFO",
                same_in_workers(None),
            ),
            running,
        )
        self.observe(
            "job.uptime",
            unit="s",
            description="Duration so far of a run that has not ended",
            per_worker=False,
        )(running.uptimes)
        return instruments

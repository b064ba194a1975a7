"""Greenlets that record, while one more sends what they have recorded."""

from gevent import joinall, monkey, sleep, spawn

monkey.patch_all()  # before the first record

from dtmetrics import configure, counter, timed  # noqa: E402 -- see above

configure()
done = counter("tasks.done", unit="{task}")


@timed("task.duration")
def task() -> None:
    """Do one task."""
    sleep(0.01)
    done.inc()


joinall([spawn(task) for _ in range(10)])

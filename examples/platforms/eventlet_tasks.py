"""Green threads that record, while one more sends what they have recorded."""

import eventlet

eventlet.monkey_patch()  # before the first record

from dtmetrics import configure, counter, timed  # noqa: E402 -- see above

configure()
done = counter("tasks.done", unit="{task}")


@timed("task.duration")
def task() -> None:
    """Do one task."""
    eventlet.sleep(0.01)
    done.inc()


pool = eventlet.GreenPool()
for _ in range(10):
    pool.spawn(task)
pool.waitall()

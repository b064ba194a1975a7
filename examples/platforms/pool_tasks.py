"""Tasks in a pool of processes: each process sends what it has recorded."""

import multiprocessing

from dtmetrics import configure, counter, timed

configure()  # in the module: a process that is not forked imports it again
done = counter("tasks.done", unit="{task}")


@timed("task.duration")
def task(number: int) -> int:
    """Do one task."""
    done.inc()
    return number * number


if __name__ == "__main__":
    pool = multiprocessing.Pool(2)
    pool.map(task, range(10), chunksize=1)
    pool.close()
    pool.join()

"""Tasks in workers of joblib, which do not run this file."""

from joblib import Parallel, delayed

from dtmetrics import configure, counter, timed

done = counter("tasks.done", unit="{task}")


@timed("task.duration")
def task(number: int) -> int:
    """Do one task."""
    done.inc()
    return number * number


if __name__ == "__main__":
    configure(dimensions={"service": "shop"})
    results = Parallel(n_jobs=2)(delayed(task)(number) for number in range(10))
    print(sum(results))

"""A worker that runs in a container until SIGTERM."""

import signal
import threading

from dtmetrics import configure, counter, timed

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

configure()  # the environment has the settings
done = counter("jobs.done", unit="{job}")


@timed("job.duration")
def work() -> None:
    """Do one job."""
    done.inc()


while not stop.wait(0.1):
    work()
# The rest is sent now, as the program ends.

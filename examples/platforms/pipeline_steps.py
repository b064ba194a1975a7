"""The steps of a report, which run in other processes."""

from dtmetrics import configure, counter, timed

configure()  # each process of the pipeline imports this module
drawn = counter("charts.drawn", unit="{chart}")
added = counter("chunks.added", unit="{chunk}")


@timed("chart.duration")
def draw(chart: int) -> int:
    """Draw a chart, in a process of the pool."""
    drawn.inc()
    return chart


@timed("chunk.duration")
def add(chunk: int) -> int:
    """Add up a chunk of data, in a worker of Dask."""
    added.inc()
    return sum(range(chunk * 1_000, (chunk + 1) * 1_000))

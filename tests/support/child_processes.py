"""A program whose child processes record, started by any method."""

from __future__ import annotations

from pathlib import Path

from tests.support.script import NO_COLLECTION, expect, python_path

METHODS = ["fork", "spawn", "forkserver"]
KINDS = ["processes", "pool", "executor"]
ORDERS = ["imported before", "imported after"]

#: The total that the children of one program record.
RECORDED = 36

# A module, because children import what they run. Forked children inherit it, and the
# others import it again.
WORK = """
import sys
{first}
from dtmetrics import configure, counter, flush, shutdown, stats
{quiet}
configure(interval=3_600.0)
{last}

def work(number):
    counter("jobs.run").inc(number)
    return number

def work_and_flush(number):
    work(number)
    return flush()

def in_processes(context, numbers):
    children = [context.Process(target=work, args=(n,)) for n in numbers]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * len(children)

def in_pool(context, numbers):
    pool = context.Pool(2)
    pool.map(work, numbers, chunksize=1)
    pool.close()
    pool.join()

def in_terminated_pool(context, numbers):
    with context.Pool(2) as pool:  # its workers end by SIGTERM, without exit handlers
        assert all(pool.map(work_and_flush, numbers, chunksize=1))

def in_executor(context, numbers):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(work, numbers))

def main():
    import multiprocessing
    context = multiprocessing.get_context(sys.argv[1])
    counter("parents").inc()
    globals()["in_" + sys.argv[2]](context, range(1, 9))
    print(stats().collected)
"""

# Eight children import the package each: 3 s on two idle cores.
SECONDS = 150.0

_FIRST = "import multiprocessing.util"


def work(place: Path, url: str, method: str, kind: str, order: str) -> int:
    """Run the program, which posts to *url*; return what the parent collected."""
    first, last = (_FIRST, "") if order == "imported before" else ("", _FIRST)
    if method == "fork" and order == "imported after":
        last = ""  # main() imports it
    (place / "work.py").write_text(
        WORK.format(first=first, last=last, quiet=NO_COLLECTION)
    )
    out = expect(
        "import work; work.main()",
        method,
        kind,
        seconds=SECONDS,
        PYTHONPATH=python_path(place),
        DTMETRICS_ENDPOINT=url,
        PYTHONWARNINGS="ignore::DeprecationWarning",  # of a fork in a process with threads
    )
    return int(out)

"""Children of multiprocessing, on whichever way: each sends what it has, once."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from tests.endpoint import Endpoint
from tests.script import expect

if sys.platform == "win32":
    pytest.skip("two of the three start methods", allow_module_level=True)

# A module of its own: what children are to do, they have to import. Imported by the
# parent alone where children are forked, and by each child where they are not.
WORK = """
import sys
{first}
from dtmetrics import configure, counter, shutdown, stats
configure(interval=3_600.0)  # none by itself
{last}

def work(number):
    counter("jobs.run").inc(number)
    return number

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

FIRST = "import multiprocessing.util"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("kind", ["processes", "pool", "executor"])
@pytest.mark.parametrize("order", ["imported before", "imported after"])
def test_children(tmp_path: Path, method: str, kind: str, order: str) -> None:
    """Whoever starts a child, what it recorded arrives exactly, in one request."""
    first, last = (FIRST, "") if order == "imported before" else ("", FIRST)
    if method == "fork" and order == "imported after":
        last = ""  # until main() does
    (tmp_path / "work.py").write_text(
        textwrap.dedent(WORK).format(first=first, last=last)
    )
    with Endpoint() as endpoint:
        out = expect(
            "import work; work.main()",
            method,
            kind,
            PYTHONPATH=f"{tmp_path}:{':'.join(sys.path)}",
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONWARNINGS="ignore::DeprecationWarning",  # a fork beside a thread
        )
    assert out == "0\n"
    assert (endpoint.total("parents"), endpoint.total("jobs.run")) == (1, 36)
    told = [r for r in endpoint.requests if "jobs.run" in r.body.decode()]
    connections = {request.connection for request in told}
    assert len(told) == len(connections)  # none flushed twice
    assert len(told) == 8 if kind == "processes" else 1 <= len(told) <= 2

"""The gauges of the processes of pools, of engines and of forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.receiver_process import receiver_process
from tests.support.script import python_path, run
from tests.support.worker_gauges import DEFINED, check_others, processes

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

# No task ends before both workers have delivered: no worker does all of them, or takes
# over the number of the other.
WORK = f"""
{DEFINED}
import sys, time
from pathlib import Path
from dtmetrics import flush

configure(interval=3_600.0)

def task(number):
    counter("tasks").inc()
    done = flush()
    Path(f"ran-{{os.getpid()}}").touch()
    end = time.monotonic() + 30
    while len(list(Path(".").glob("ran-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return done

def in_pool(method):
    import multiprocessing
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(task, range(4), chunksize=1)

def in_executor(method):
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(task, range(4)))

def in_joblib(method):
    from joblib import Parallel, delayed
    return Parallel(2, backend=method)(delayed(task)(n) for n in range(4))

def in_dask(method):
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as it:
        with Client(it) as client:
            return client.gather(client.map(task, range(4)))

def in_forks(method):
    children = []
    for number in range(2):
        children.append(os.fork())
        if not children[-1]:
            os._exit(not task(number))
    return [os.waitpid(child, 0)[1] == 0 for child in children]

def main():
    counter("tasks").inc()
    assert flush()
    assert all(globals()["in_" + sys.argv[1]](sys.argv[2]))
    assert flush()

if __name__ == "__main__":
    import work
    work.main()
"""


def work(place: Path, url: str, *arguments: str) -> int:
    """Run the program, which posts to *url*; return the number of its process."""
    (place / "work.py").write_text(WORK)
    environ = {
        **os.environ,
        "DTMETRICS_ENDPOINT": url,
        "DTMETRICS_DIMENSIONS": f"place={place}",  # the numbers of this program alone
        "PYTHONPATH": python_path(place),
    }
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "work.py", *arguments],
        cwd=place,
        env=environ,
    ) as program:
        assert program.wait(2 * PATIENCE) == 0
    return program.pid


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("pool", "fork"),
        ("pool", "spawn"),
        ("pool", "forkserver"),
        ("executor", "spawn"),
        ("joblib", "loky"),
        ("joblib", "multiprocessing"),
        ("dask", "spawn"),
        ("forks", ""),
    ],
)
def test_children(kind: str, method: str, tmp_path: Path) -> None:
    """Each child has a number of its own; the parent keeps its series, without one."""
    if kind in ("joblib", "dask"):
        pytest.importorskip({"dask": "distributed"}.get(kind, kind))
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("Windows has no fork")
    with Endpoint() as endpoint:
        parent = work(tmp_path, endpoint.url, kind, method)
        check_others(endpoint)
        found = processes(endpoint)
    assert found.pop("") == [str(parent)]
    ran = {path.name.removeprefix("ran-") for path in tmp_path.glob("ran-*")}
    assert {process for each in found.values() for process in each} == ran
    assert found.keys() == {"0", "1"}


def test_another_program(tmp_path: Path) -> None:
    """A program that a program executes is not one of its workers."""
    (tmp_path / "other.py").write_text(
        f"{DEFINED}\nconfigure()\ncounter('tasks').inc()"
    )
    program = f"""
{DEFINED}
import subprocess, sys
configure(interval=None)
counter("tasks").inc()
subprocess.run([sys.executable, "other.py"], check=True)
"""
    with Endpoint() as endpoint:
        ended = run(program, cwd=tmp_path, DTMETRICS_ENDPOINT=endpoint.url)
        assert ended.status == 0, ended.err
        found = processes(endpoint)
    assert found.keys() == {""}
    assert len(found[""]) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("setting", ["auto", "false"])
def test_receiver(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without numbers the receiver warns of a gauge that two processes send."""
    monkeypatch.setenv("DTMETRICS_WORKER_DIMENSION", setting)
    (tmp_path / "active.py").write_text("""
import os
from dtmetrics import configure, flush, gauge
configure(interval=None)
gauge("jobs.active").set(3)
assert flush()
child = os.fork()
if not child:
    gauge("jobs.active").set(5)
    os._exit(not flush())
assert os.waitpid(child, 0)[1] == 0
assert flush()
""")
    with receiver_process() as receiver:
        done = receiver.run(tmp_path / "active.py")
        assert done.returncode == 0, done.stderr
        warned = "different values from several processes" in receiver.page()
        sent = [each for each in receiver.series() if each["key"] == "jobs.active"]
    assert warned == (setting == "false")
    assert len(sent) == (1 if warned else 2)

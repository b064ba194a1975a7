"""The programs in ``examples/platforms`` that need no server."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.environment import settings_of
from dtmetrics.integrations import aws_lambda, faas
from tests.support.containers import container, why_not
from tests.support.endpoint import PATIENCE, Endpoint, refusing_port
from tests.support.example_pages import ExamplePage, environment
from tests.support.script import expect, run

in_a_container = pytest.mark.usefixtures("containers")


@pytest.fixture
def containers() -> None:
    """Skip a test where no container can be run."""
    if reason := why_not():
        pytest.skip(reason)


# -- programs of several tasks ---------------------------------------------------------


def test_pool(tmp_path: Path) -> None:
    """What the processes of the pool record arrives."""
    page = ExamplePage("platforms/multiprocessing")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page.check(endpoint.lines)
    assert endpoint.total("tasks.done") == 10


@pytest.mark.processes
def test_workers(tmp_path: Path) -> None:
    """What the workers of joblib record arrives, with the settings of the program."""
    pytest.importorskip("joblib")
    page = ExamplePage("platforms/functions-that-travel")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "285\n", "")
    page.check(endpoint.lines)
    assert endpoint.total("tasks.done") == 10


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_green_threads(kind: str) -> None:
    """What green threads record arrives."""
    if find_spec(kind) is None:
        pytest.skip(f"{kind} is not installed")
    page = ExamplePage("platforms/gevent-eventlet")
    [program] = [path for path in page.programs if path.name.startswith(kind)]
    with Endpoint() as endpoint:
        # The import of eventlet warns that it is deprecated.
        more = {"DTMETRICS_ENDPOINT": endpoint.url, "PYTHONWARNINGS": "ignore"}
        assert expect(program.read_text("utf-8"), **more) == ""
    page.check(endpoint.lines)
    assert endpoint.total("tasks.done") == 10


# -- a function ------------------------------------------------------------------------

# Calls the handler as the runtime of AWS Lambda does. At its end the process is killed.
RUNTIME = """
import os, signal, sys, threading

sys.path.insert(0, sys.argv[1])
from lambda_handler import place_order

class Context:
    function_name = "orders"

    def get_remaining_time_in_millis(self):
        return 3_000

for event in ({"region": "eu"}, {}, {"region": "us"}):
    try:
        place_order(event, Context())
    except KeyError as error:
        print("raised", error)
    assert threading.active_count() == 1
print("answered", flush=True)
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def test_lambda() -> None:
    """What each invocation records has arrived when it returns or raises.

    No thread is started, and the runtime kills the process in the end. The first
    invocation makes two requests, and each later one makes one.
    """
    page = ExamplePage("platforms/aws-lambda")
    with Endpoint() as endpoint:
        url = {"DTMETRICS_ENDPOINT": endpoint.url}
        ended = run(RUNTIME, page.folder, **url, PYTHONDONTWRITEBYTECODE="1")
    assert (ended.out, ended.err) == ("raised 'region'\nanswered\n", "")
    page.check(endpoint.lines)
    assert endpoint.total("orders.placed") == 2
    # A request with the metadata that is new, and one with the data points.
    assert len(endpoint.requests) == 2 + 2 + 1


CALLS = """
import sys, threading

sys.path.insert(0, sys.argv[1])
from function import place_order

for request in ({"region": "eu"}, {}, {"region": "us"}):
    try:
        print(place_order(request))
    except KeyError as error:
        print("raised", error)
    assert threading.active_count() == 1
"""


def test_function() -> None:
    """What each call of the function records has arrived when it returns or raises."""
    page = ExamplePage("platforms/functions")
    with Endpoint() as endpoint:
        url = {"DTMETRICS_ENDPOINT": endpoint.url}
        ended = run(CALLS, page.folder, **url, PYTHONDONTWRITEBYTECODE="1")
    assert (ended.out, ended.err) == ("placed\nraised 'region'\nplaced\n", "")
    page.check(endpoint.lines)
    assert endpoint.total("orders.placed") == 2


@pytest.mark.parametrize(
    ("page", "function"),
    [("aws-lambda", aws_lambda.handler), ("functions", faas.invocation)],
)
def test_options_of_functions(page: str, function: Callable[..., Any]) -> None:
    """The page has each option of the decorator."""
    parameters = inspect.signature(function).parameters.values()
    taken = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert ExamplePage(f"platforms/{page}").options() == taken


# -- a command -------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.skipif(os.name == "nt", reason="Windows has no sh")
def test_cron(tmp_path: Path) -> None:
    """The command of the crontab runs, and its metrics arrive."""
    page = ExamplePage("platforms/cron")
    [program] = page.programs
    shell, _, *arguments = page.command("sh")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with Endpoint() as endpoint:
        done = subprocess.run(
            [shell, str(program), arguments[0], __file__],
            cwd=tmp_path,
            env=environment(endpoint, PATH=path),
            stderr=subprocess.DEVNULL,  # tar has a note about absolute names
            check=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 0
    assert (tmp_path / arguments[0]).stat().st_size > 0
    page.check(endpoint.lines)


# -- hosts -----------------------------------------------------------------------------


def test_oneagent(tmp_path: Path) -> None:
    """The program prints that the data point has arrived."""
    page = ExamplePage("platforms/oneagent-host")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "delivered\n", "")
    page.check(endpoint.lines)


def test_no_oneagent(tmp_path: Path) -> None:
    """Where nothing listens, the program prints the reason that the page names."""
    page = ExamplePage("platforms/oneagent-host")
    url = f"http://localhost:{refusing_port()}/metrics/ingest"
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path, DTMETRICS_ENDPOINT=url)
    [reason] = re.findall("`(ConnectError at localhost):14499`", page.text)
    assert done.stdout.startswith(f"{reason}:")


@in_a_container
def test_dimensions_of_the_host(tmp_path: Path) -> None:
    """The dimensions in OneAgent's file of the host are on each line."""
    page = ExamplePage("platforms/oneagent-host")
    (tmp_path / "dt_host_metadata.json").write_text('{"dt.host.name": "h1"}')
    with Endpoint() as endpoint:
        environ = environment(endpoint)
        del environ["DTMETRICS_ENRICH"]
        command = [sys.executable, "oneagent_host.py"]
        with container(command, page.folder, environ, tmp_path):
            endpoint.wait_for(1)
    assert ",dt.host.name=h1," in endpoint.lines[0]


# -- containers ------------------------------------------------------------------------


def dockers_command() -> list[str]:
    """Return the command in the Dockerfile."""
    page = ExamplePage("platforms/docker")
    [command] = re.findall(
        "^CMD (.+)$", (page.folder / "Dockerfile").read_text(), re.MULTILINE
    )
    python, *arguments = json.loads(command)
    assert python == "python"
    return [sys.executable, *arguments]


@in_a_container
def test_docker() -> None:
    """What the worker has recorded arrives when its container is stopped."""
    page = ExamplePage("platforms/docker")
    with Endpoint() as endpoint:
        with container(
            dockers_command(), page.folder, environment(endpoint)
        ) as running:
            running.wait_for_thread()
            assert running.stop() == 0
        assert endpoint.total("jobs.done") > 0
    page.check(endpoint.lines)


MANIFEST = (ExamplePage("platforms/kubernetes").folder / "kubernetes.yaml").read_text()


def test_names_in_the_manifest() -> None:
    """Each variable of dtmetrics in the manifest is one that it reads."""
    names = re.findall(r"- name: (DTMETRICS_\w+)\n", MANIFEST)
    assert len(names) == 3
    assert len(settings_of(dict.fromkeys(names, "x"))) == 3


@in_a_container
def test_kubernetes_without_the_operator() -> None:
    """The variables of the manifest make the dimensions that the page lists."""
    page = ExamplePage("platforms/kubernetes")
    [dimensions] = re.findall(r"DTMETRICS_DIMENSIONS\n\s+value: (\S+)\n", MANIFEST)
    pod = {"DTMETRICS_DIMENSIONS": dimensions.replace("$(POD_NAME)", "shop-worker-7")}
    with Endpoint() as endpoint:
        environ = environment(endpoint, **pod)
        with container(dockers_command(), page.folder, environ) as running:
            running.wait_for_thread()
            assert running.stop() == 0
    page.check(endpoint.lines)
    assert ",k8s.pod.name=shop-worker-7," in endpoint.lines[0]


@in_a_container
def test_kubernetes_with_the_operator(tmp_path: Path) -> None:
    """The operator's files set endpoint, token and dimensions of an unchanged program."""
    page = ExamplePage("platforms/kubernetes")
    environ = {key: value for key, value in os.environ.items() if key[:2] != "DT"}
    environ["DTMETRICS_DIMENSIONS"] = "service=shop"
    with Endpoint() as endpoint:
        files = {
            "endpoint/endpoint.properties": f"DT_METRICS_INGEST_URL={endpoint.url}\n"
            "DT_METRICS_INGEST_API_TOKEN=dt0c01.ABC.secret\n",
            "dt_metadata.json": '{"k8s.pod.name": "shop-worker-7", "service": "pod"}',
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        with container(dockers_command(), page.folder, environ, tmp_path) as running:
            running.wait_for_thread()
            assert running.stop() == 0
    page.check(endpoint.lines)
    assert ",k8s.pod.name=shop-worker-7," in endpoint.lines[0]
    assert ",service=pod" in endpoint.lines[0]  # the operator's value wins
    token = {request.headers["authorization"] for request in endpoint.requests}
    assert token == {"Api-Token dt0c01.ABC.secret"}

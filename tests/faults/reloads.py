"""Development servers that restart whenever a file changes."""

from __future__ import annotations

import http.client
import os
import signal
import tempfile
from contextlib import closing
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import HANG_SECONDS, PRELUDE, Program, Server

#: Replaces itself by the server: reloaders restart a program from its file.
BECOME = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

#: Common to both applications. The observer shows which processes send metrics.
SHOP = """
import watched

@observe("process.threads")
def threads():
    return [(threading.active_count(), {"process": os.getpid()})]

def order():
    counter("orders").inc()
    tally[0] += 1
    return str(os.getpid())

def serving(server):
    report(serving=os.getpid(), port=server.socket.getsockname()[1])
"""

DJANGO = """
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.management.commands import runserver
from django.core.servers.basehttp import WSGIServer
from django.http import HttpResponse
from django.urls import path
from django.utils import autoreload

class Reloader(autoreload.StatReloader):
    SLEEP_TIME = 0.1  # checks ten times as often as by default

    def tick(self):
        for _ in super().tick():
            watching.set()
            yield

class Server(WSGIServer):
    def serve_forever(self):
        # The reloader misses a change before its first check.
        watching.wait()
        serving(self)
        super().serve_forever()

watching = threading.Event()
autoreload.get_reloader = Reloader
runserver.Command.server_cls = Server
urlpatterns = [path("", lambda request: HttpResponse(order()))]
settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=True,
    DTMETRICS={},
    INSTALLED_APPS=["dtmetrics.integrations.django"],
    MIDDLEWARE=["dtmetrics.integrations.django.MetricsMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the campaign",
)
execute_from_command_line()
"""

FLASK = """
from flask import Flask
from werkzeug.serving import BaseWSGIServer
from dtmetrics.integrations.flask import Metrics

configure()
serve = BaseWSGIServer.serve_forever
BaseWSGIServer.serve_forever = lambda server: (serving(server), serve(server))
app = Flask(__name__)
Metrics(app)
app.get("/")(order)
app.run(port=0, debug=True, reloader_type="stat", reloader_interval=0.1)
"""


@scenario(packages=("django",))
def django_reloads(run: Run) -> Row:
    """Django's runserver loses nothing in 20 restarts, and its parent sends nothing."""
    return _reload(run, DJANGO, "runserver", "127.0.0.1:0", "--skip-checks")


@scenario(packages=("flask",))
def flask_reloads(run: Run) -> Row:
    """Flask's server loses nothing in 20 restarts, and its parent sends nothing."""
    return _reload(run, FLASK)


def _reload(run: Run, source: str, *arguments: str) -> Row:
    row = Row()
    reloads = 3 if run.quick else 20
    with Server() as server, tempfile.TemporaryDirectory() as place:
        main, watched = Path(place, "manage.py"), Path(place, "watched.py")
        main.write_text(PRELUDE + SHOP + source)
        watched.touch()
        with run.program(BECOME, server, main, *arguments) as program:
            served: list[int] = []
            for number in range(reloads + 1):
                facts = program.receive("serving")
                if not row.require(facts, f"does not serve: {program.last_error}"):
                    return row
                served.append(facts["serving"])
                for _ in range(10):
                    process = _order(facts["port"])
                    row.require(process == served[-1], f"{process} answered")
                if number < reloads:
                    watched.touch()
            # A terminal's Ctrl-C signals the whole process group as well.
            os.killpg(program.process.pid, signal.SIGINT)
            row.hung = int(program.wait(HANG_SECONDS) is None)
            _check(row, server, program, served)
    return row


def _check(row: Row, server: Server, program: Program, served: list[int]) -> None:
    received = server.received()
    row.expected, row.actual = program.tally()[0], received.total("orders")
    row.require_exact()
    requests = received.total("http.server.request.duration")
    row.require(requests == row.expected, f"{requests} requests were measured")
    row.require(len(set(served)) == len(served), "was not restarted")
    parent = program.process.pid
    row.require(parent not in served, "there is no parent")
    observed = {
        pid: lines
        for where, (lines, _) in received.series.get("process.threads", {}).items()
        for pid in [int(where.partition("process=")[2].partition(",")[0])]
    }
    row.require(observed.keys() == set(served), f"of {len(served)}: {observed}")
    # The observer is read in each flush: during the life of a process and at its end.
    row.require(set(observed.values()) <= {1, 2}, f"observed too often: {observed}")
    row.require(received.requests <= 2 * len(served), f"{received.requests} requests")
    row.note(f"{len(served)} processes, {received.requests} requests; parent {parent}")


def _order(port: int) -> int:
    """Request one order, and return the process that served it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with closing(connection):
        connection.request("GET", "/")
        return int(connection.getresponse().read())

"""Development servers that start themselves again whenever a file changes."""

from __future__ import annotations

import http.client
import os
import signal
import tempfile
from contextlib import closing
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import PATIENCE, PRELUDE, Program, Server

#: Becomes the server: reloaders want to be started from a file.
BECOME = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored by what a shell runs with an &
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

#: What both applications do. Who observes itself has to be there once, not twice.
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
    tell(serving=os.getpid(), port=server.socket.getsockname()[1])
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
    SLEEP_TIME = 0.1  # looks ten times as often

    def tick(self):
        for _ in super().tick():
            watching.set()
            yield

class Server(WSGIServer):
    def serve_forever(self):
        # A change before the first look would never be seen.
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
    """Django's runserver is restarted by 20 changes of a file: exact, nobody twice."""
    return _reload(run, DJANGO, "runserver", "127.0.0.1:0", "--skip-checks")


@scenario(packages=("flask",))
def flask_reloads(run: Run) -> Row:
    """Flask's server is restarted by 20 changes of a file: exact, nobody twice."""
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
                facts = program.hear("serving")
                if not row.require(facts, f"does not serve: {program.said}"):
                    return row
                served.append(facts["serving"])
                for _ in range(10):
                    answered = _order(facts["port"])
                    row.require(answered == served[-1], f"{answered} answered")
                if number < reloads:
                    watched.touch()
            # As a terminal's Ctrl-C does.
            os.killpg(program.process.pid, signal.SIGINT)
            row.hung = int(program.wait(PATIENCE) is None)
            _judge(row, server, program, served)
    return row


def _judge(row: Row, server: Server, program: Program, served: list[int]) -> None:
    truth = server.truth()
    row.truth, row.got = program.tally()[0], truth.total("orders")
    row.exact()
    requests = truth.total("http.server.request.duration")
    row.require(requests == row.truth, f"{requests} requests are measured")
    row.require(len(set(served)) == len(served), "was not restarted")
    parent = program.process.pid
    row.require(parent not in served, "there is no parent")
    said = {
        pid: lines
        for where, (lines, _) in truth.series.get("process.threads", {}).items()
        for pid in [int(where.partition("process=")[2].partition(",")[0])]
    }
    row.require(said.keys() == set(served), f"of {len(served)} processes {said} tell")
    row.require(set(said.values()) <= {1, 2}, f"told more often than once: {said}")
    row.require(truth.requests <= 2 * len(served), f"{truth.requests} requests")
    row.note(f"{len(served)} processes, {truth.requests} requests; parent {parent}")


def _order(port: int) -> int:
    """Ask for one order, and return the process that served it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with closing(connection):
        connection.request("GET", "/")
        return int(connection.getresponse().read())

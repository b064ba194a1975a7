"""Servers with several workers, gunicorn and uWSGI, which replace them under load."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support import web_servers

WORKERS = 4

#: What a server logs about a worker that did not end by itself.
_DIED = re.compile(r"DAMN ! worker|WORKER TIMEOUT|was sent SIG(?!TERM)\w+|Traceback")


@scenario(packages=("gunicorn",))
def gunicorn_sync(run: Run) -> Row:
    """Replacing gunicorn's sync workers under load loses nothing, preloaded or not."""
    return _gunicorn(run, "sync")


@scenario(packages=("gunicorn",))
def gunicorn_gthread(run: Run) -> Row:
    """Replacing gunicorn's gthread workers under load loses nothing, preloaded or not."""
    return _gunicorn(run, "gthread")


@scenario(packages=("gunicorn", "gevent"))
def gunicorn_gevent(run: Run) -> Row:
    """Replacing gunicorn's gevent workers under load loses nothing, preloaded or not."""
    return _gunicorn(run, "gevent")


@scenario(packages=("gunicorn", "uvicorn-worker"))
def gunicorn_uvicorn(run: Run) -> Row:
    """Replacing gunicorn's uvicorn workers under load loses nothing, preloaded or not."""
    return _gunicorn(run, "uvicorn")


@scenario(packages=("pyuwsgi",))
def uwsgi(run: Run) -> Row:
    """uWSGI, with any flags about forking, loses nothing and runs one flusher a worker."""
    row, rounds = Row(expected=0, actual=0), 1 if run.quick else 3
    # Without --max-requests: a worker that gets SIGTERM while it ends for that reason dies
    # at once and loses what it served (uWSGI 2.0.30; 3 of 10 lives, 50 requests each).
    for flags in web_servers.UWSGI_FLAGS.values():
        command = web_servers.uwsgi(flags, WORKERS)
        _serve(row, command, flags, rounds, web_servers.IN_THE_MASTER)
    return row


def _gunicorn(run: Run, kind: str) -> Row:
    row, rounds = Row(expected=0, actual=0), 1 if run.quick else 5
    for flags in web_servers.GUNICORN_FLAGS:
        _serve(row, web_servers.gunicorn(kind, flags, WORKERS), flags, rounds)
    return row


def _serve(
    row: Row, command: Sequence[str], flags: str, rounds: int, more: str = ""
) -> None:
    """Run a server under load, and compare what it served with what arrived."""
    what = flags or "without flags"
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as endpoint:
        with web_servers.Server(
            command, Path(place), endpoint.url, workers=WORKERS, more=more
        ) as server:
            server.live(rounds)
        received = endpoint.received()
    served, actual = len(server.answers), received.total("requests.served")
    row.expected, row.actual = row.expected + served, row.actual + actual
    row.require(actual == served, f"{what}: differs by {actual - served}")
    row.require(server.flushers == 1, f"{what}: {server.flushers} flushers")
    died = _DIED.search(server.output)
    row.require(not died, f"{what}: logged {died and died[0]}")
    row.note(f"{what}: {len(set(server.answers))} workers served {served}")

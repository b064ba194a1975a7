"""Servers of many workers: gunicorn and uWSGI, whose workers come and go under load."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support import web_servers

WORKERS = 4

#: What a server says of a worker that has not ended by itself.
_DIED = re.compile(r"DAMN ! worker|WORKER TIMEOUT|was sent SIG(?!TERM)\w+|Traceback")


@scenario(packages=("gunicorn",))
def gunicorn_sync(run: Run) -> Row:
    """Sync workers of gunicorn are replaced under load, preloaded or not: exact."""
    return _gunicorn(run, "sync")


@scenario(packages=("gunicorn",))
def gunicorn_gthread(run: Run) -> Row:
    """Workers of gunicorn with threads are replaced under load, preloaded or not: exact."""
    return _gunicorn(run, "gthread")


@scenario(packages=("gunicorn", "gevent"))
def gunicorn_gevent(run: Run) -> Row:
    """Workers of gunicorn by gevent are replaced under load, preloaded or not: exact."""
    return _gunicorn(run, "gevent")


@scenario(packages=("gunicorn", "uvicorn-worker"))
def gunicorn_uvicorn(run: Run) -> Row:
    """Workers of gunicorn by uvicorn are replaced under load, preloaded or not: exact."""
    return _gunicorn(run, "uvicorn")


@scenario(packages=("pyuwsgi",))
def uwsgi(run: Run) -> Row:
    """uWSGI, by whichever flags it forks: exact, one flusher a worker, and none dies."""
    row, rounds = Row(truth=0, got=0), 1 if run.quick else 3
    # Without --max-requests: who is told to end while it ends for that reason is gone at
    # once, with what it served (uWSGI 2.0.30; 3 of 10 lives, 50 requests each).
    for flags in web_servers.UWSGI_FLAGS.values():
        command = web_servers.uwsgi(flags, WORKERS)
        _serve(row, command, flags, rounds, web_servers.IN_THE_MASTER)
    return row


def _gunicorn(run: Run, kind: str) -> Row:
    row, rounds = Row(truth=0, got=0), 1 if run.quick else 5
    for flags in web_servers.GUNICORN_FLAGS:
        _serve(row, web_servers.gunicorn(kind, flags, WORKERS), flags, rounds)
    return row


def _serve(
    row: Row, command: Sequence[str], flags: str, rounds: int, more: str = ""
) -> None:
    """Let a server live, and compare what it served with what arrived."""
    what = flags or "without flags"
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as endpoint:
        with web_servers.Server(
            command, Path(place), endpoint.url, workers=WORKERS, more=more
        ) as server:
            server.live(rounds)
        truth = endpoint.truth()
    served, got = len(server.answers), truth.total("requests.served")
    row.truth, row.got = row.truth + served, row.got + got
    row.require(got == served, f"{what}: differs by {got - served}")
    row.require(server.flushers == 1, f"{what}: {server.flushers} flushers")
    died = _DIED.search(server.said)
    row.require(not died, f"{what}: said {died and died[0]}")
    row.note(f"{what}: {len(set(server.answers))} workers served {served}")

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from dtmetrics._cli import main
from tests.support.endpoint import Endpoint, answer, never
from tests.support.platforms import needs_signals

TOKEN = "dt0c01.ABC.CANARY"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Return an endpoint that accepts everything, and that the environment names."""
    with Endpoint() as running:
        monkeypatch.setenv("DTMETRICS_ENDPOINT", running.url)
        monkeypatch.setenv("DTMETRICS_TOKEN", TOKEN)
        yield running


def test_text(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding is a line, without colours where the output is not a terminal."""
    assert main(["doctor", "--send"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert "CANARY" not in out
    source = "(environment, DTMETRICS_ENDPOINT)"
    assert f"ok       settings    endpoint = '{endpoint.url}' {source}\n" in out
    assert "warning  token" in out
    assert "\n                     -> check that the whole access token is set\n" in out
    assert "ok       test line" in out
    assert len(endpoint.lines) == 2


def test_text_without_rich(
    endpoint: Endpoint,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without rich the text is the same."""
    assert main(["doctor"]) == 0
    with_rich = capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["doctor"]) == 0
    without = capsys.readouterr().out
    times = ("connection", "clock")
    assert [s for s in without.splitlines() if s[9:].split()[0] not in times] == [
        s for s in with_rich.splitlines() if s[9:].split()[0] not in times
    ]


def test_json(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has the same findings, with their details, and no secret."""
    assert main(["doctor", "--json"]) == 0
    text = capsys.readouterr().out
    report = json.loads(text)
    assert report["ok"] is True
    assert {"check", "status", "text"} <= report["checks"][0].keys()
    [interval] = [
        each
        for each in report["checks"]
        if each.get("details", {}).get("setting") == "interval"
    ]
    assert interval["details"] == {
        "setting": "interval",
        "value": "60.0",
        "origin": "default",
    }
    assert "CANARY" not in text


def test_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """With a problem the status is 1."""
    with Endpoint(otherwise=answer(401)) as refusing:
        assert main(["doctor", "--endpoint", refusing.url, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    [problem] = [each for each in report["checks"] if each["status"] == "problem"]
    assert problem["check"] == "answer"
    assert "the token is missing" in problem["text"]
    assert "DTMETRICS_TOKEN" in problem["remedy"]


@needs_signals
def test_colours_on_a_terminal(endpoint: Endpoint) -> None:
    """On a terminal the status of a finding has a colour."""
    pty = pytest.importorskip("pty")
    pytest.importorskip("rich")
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "dtmetrics", "doctor"],
        stdout=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    out = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # Linux reports the end so
            break
        if not part:
            break
        out += part
    os.close(ours)
    assert done.wait() == 0
    assert b"\x1b[32mok" in out


SWALLOWING = """
import socket, sys, threading
from dtmetrics._cli import main

if sys.argv[1] == "name":
    socket.getaddrinfo = lambda *args, **kwargs: threading.Event().wait()
sys.exit(main(["doctor", "--send", "--endpoint", sys.argv[2]]))
"""


@pytest.mark.processes
@pytest.mark.parametrize("what", ["name", "connection", "handshake", "request"])
def test_network_that_swallows_everything(what: str) -> None:
    """Whatever step of the network never ends, the command does within 20 s."""
    with (
        Endpoint(otherwise=never()) as silent,
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
    ):
        url = {
            "name": "https://metrics.invalid",
            "connection": f"http://127.0.0.1:{full.getsockname()[1]}",
            "handshake": silent.url.replace("http:", "https:"),
            "request": silent.url,
        }[what]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        begin = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", SWALLOWING, what, url],
            env={**os.environ, "DTMETRICS_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            check=False,
        )
        assert time.monotonic() - begin < 20
        for each in waiting:
            each.close()
    assert (done.returncode, done.stderr) == (1, "")
    assert "problem " in done.stdout
    assert "CANARY" not in done.stdout

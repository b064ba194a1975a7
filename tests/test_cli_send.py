from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtmetrics._cli import main
from tests.support.endpoint import Endpoint, answer, partly, refusing_port


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Return an endpoint that accepts everything, and that the environment names."""
    with Endpoint() as running:
        monkeypatch.setenv("DTMETRICS_ENDPOINT", running.url)
        yield running


def stdin(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Put *lines* on standard input."""
    raw = io.BytesIO("\n".join(lines).encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw, "ascii"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["3"], "orders,dt.metrics.source=dtmetrics gauge,3"),
        (["-2.5"], "orders,dt.metrics.source=dtmetrics gauge,-2.5"),
        (
            ["3", "--kind", "counter", "--dim", "region=eu", "--dim", "a=b=c"],
            'orders,a="b=c",dt.metrics.source=dtmetrics,region=eu count,delta=3',
        ),
        (
            ["3", "--kind", "summary"],
            "orders,dt.metrics.source=dtmetrics gauge,min=3,max=3,sum=3,count=1",
        ),
    ],
)
def test_value(
    arguments: list[str],
    line: str,
    endpoint: Endpoint,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A value is sent as the line that an instrument of its kind would make."""
    assert main(["send", "orders", *arguments]) == 0
    [sent] = endpoint.lines
    head, _, timestamp = sent.rpartition(" ")
    assert head == line
    assert re.fullmatch("[0-9]{13}", timestamp)
    assert capsys.readouterr() == (f"127.0.0.1:{endpoint.port}: 1 line accepted\n", "")


@pytest.mark.parametrize("names", ["console", "console,dynatrace"])
def test_other_exporters(
    names: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends to the endpoint, also where programs have other exporters."""
    monkeypatch.setenv("DTMETRICS_EXPORTER", names)
    assert main(["send", "orders", "3"]) == 0
    assert len(endpoint.lines) == 1


def test_settings(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix and the dimensions of the environment are those of each line."""
    monkeypatch.setenv("DTMETRICS_PREFIX", "shop")
    monkeypatch.setenv("DTMETRICS_DIMENSIONS", "stage=test")
    assert main(["send", "orders", "1", "--timestamp", "1700000000000"]) == 0
    source = "dt.metrics.source=dtmetrics"
    assert endpoint.lines == [f"shop.orders,{source},stage=test gauge,1 1700000000000"]


def test_standard_input(
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Lines of standard input are sent as they are, without blank ones."""
    stdin(
        monkeypatch, "a.b 1", "", "  #a.b gauge dt.meta.unit=s", "c,d=é count,delta=2"
    )
    assert main(["send"]) == 0
    lines = ["a.b 1", "#a.b gauge dt.meta.unit=s", "c,d=é count,delta=2"]
    assert endpoint.lines == lines
    assert "3 lines accepted" in capsys.readouterr().out


def test_rejected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rejected line is named by its number on standard input, and the status is 1."""
    stdin(monkeypatch, "", "a 1", "b..c 1")
    with Endpoint(partly(1, 1, [(2, "invalid metric key")])) as endpoint:
        assert main(["send", "--endpoint", endpoint.url]) == 1
    assert capsys.readouterr().err == (
        f"127.0.0.1:{endpoint.port}: 1 line accepted, 1 line rejected\n"
        "line 3 rejected: invalid metric key\n"
    )


def test_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are bytes for the endpoint to judge: invalid UTF-8 is sent as it is."""
    stdin(monkeypatch, "a,b=\udcff 1")
    with Endpoint() as endpoint:
        assert main(["send", "--endpoint", endpoint.url]) == 0
    assert endpoint.requests[0].body == b"a,b=\xff 1"


def test_not_delivered(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that cannot be delivered has the cause and the remedy, and status 1."""
    url = f"http://localhost:{refusing_port()}"
    assert main(["send", "orders", "1", "--endpoint", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 line not delivered\nConnectError at localhost:" in err
    assert "connection refused, nothing listens on this port; check the host" in err


@pytest.mark.parametrize("text", ["9" * 400, "inf", "nan", "one"])
def test_not_a_finite_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is not a finite number is a usage error in one sentence."""
    with pytest.raises(SystemExit):
        main(["send", "orders", text])
    assert f"must be a finite number, got '{text[:4]}"[:40] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dt.orders", "1"], "keys that begin with 'dt.' are reserved"),
        (["orders", "-1", "--kind", "counter"], "a counter cannot record -1"),
        (["orders", "1", "--endpoint", "nowhere"], "endpoint must be an http:// or"),
    ],
)
def test_invalid(
    arguments: list[str],
    words: str,
    endpoint: Endpoint,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A key, a value or a setting that is invalid sends nothing, and has status 1."""
    assert main(["send", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert endpoint.requests == []


def test_token_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token is read from a file, and shown nowhere."""
    file = tmp_path / "token"
    file.write_text("dt0c01.CANARY.secret\n")
    with Endpoint(answer(401)) as endpoint:
        arguments = ["--endpoint", endpoint.url, "--token-file", str(file)]
        assert main(["send", "orders", "1", *arguments]) == 1
    assert endpoint.requests[0].headers["authorization"] == (
        "Api-Token dt0c01.CANARY.secret"
    )
    assert "the token is missing, unknown or expired; " in capsys.readouterr().err


def test_unreadable_token_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token file that is absent or empty is named, and nothing is sent."""
    empty = tmp_path / "empty"
    empty.touch()
    for path, words in ((tmp_path / "no", "cannot read"), (empty, "is empty")):
        assert main(["send", "orders", "1", "--token-file", str(path)]) == 1
        assert words in capsys.readouterr().err


def test_needs_no_extra() -> None:
    """The command runs where neither rich nor the receiver's packages are installed."""
    source = (
        "import sys\n"
        "for name in ('rich', 'starlette', 'uvicorn'): sys.modules[name] = None\n"
        "from dtmetrics._cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    with Endpoint() as endpoint:
        for command in (["send", "orders", "1"], ["doctor"]):
            done = subprocess.run(
                [sys.executable, "-c", source, *command],
                env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
    assert len(endpoint.lines) == 2

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.support.receiver_client import NOW, PATHS, TEXT, fault, post, served


@pytest.fixture(name="client", scope="module")
def _client() -> Iterator[httpx.Client]:
    with served() as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_takes_lines(client: httpx.Client, path: str) -> None:
    """Lines are taken in where a OneAgent or an environment takes them in."""
    response = client.post(path, content=b"a 1\nb 2", headers=TEXT)
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "linesOk": 2,
        "linesInvalid": 0,
        "error": None,
        "warnings": None,
    }


def test_refuses_lines(client: httpx.Client) -> None:
    """A bad line is answered with 400 and its number; the clock decides as well."""
    old = int(NOW * 1000) - 3_600_001
    answer = post(client, f"a 1\nb\na 1 {old}\n".encode())
    assert answer.status_code == 400
    lines = [line["line"] for line in answer.json()["error"]["invalidLines"]]
    assert lines == [2, 3]


def test_shows_what_arrived() -> None:
    """What arrived can be asked for as JSON, and so can the counts."""
    with served() as client:
        post(client, b"orders,region=eu count,delta=2\nbroken")
        post(client, b"orders,region=eu count,delta=3")
        post(client, b"x 1", **{"Content-Type": "application/json"})
        (series,) = client.get("/api/series").json()["series"]
        assert (series["key"], series["dimensions"]) == ("orders", {"region": "eu"})
        assert (series["sum"], series["points"]) == (5, 2)
        assert client.get("/api/stats").json() == {
            "requests": 3,
            "requests_refused": 1,
            "accepted": 2,
            "invalid": 1,
            "warnings": 2,
        }


def test_line_limit(client: httpx.Client) -> None:
    """Only the address of a OneAgent limits the lines of a request."""
    body = b"a 1\n" * 1001
    assert client.post(PATHS[1], content=body, headers=TEXT).status_code == 202
    answer = client.post(PATHS[0], content=body, headers=TEXT)
    assert fault(answer) == (400, "too many lines: 1001 > 1000")


@pytest.mark.parametrize(
    "authorization",
    [None, "Api-Token wrong", "Bearer right", "right", "Api-Token", "Api-Token \xff"],
)
def test_wrong_token(authorization: str | None) -> None:
    """Started with a token, lines without it are refused before they are read."""
    headers = {**TEXT}
    if authorization is not None:
        headers["Authorization"] = authorization
    with served(token="right") as client:
        encoded = [(name, text.encode("latin-1")) for name, text in headers.items()]
        answer = client.post(PATHS[1], content=b"a 1", headers=encoded)
        assert fault(answer) == (401, "Token Authentication failed")
        assert client.get("/api/stats").json()["accepted"] == 0


def test_right_token() -> None:
    """The right token is let in, and is shown nowhere afterwards."""
    with served(token="canary-4711") as client:
        header = {"Authorization": "Api-Token canary-4711"}
        assert post(client, b"a 1\nb", **header).status_code == 400
        for path in ("/", "/api/series", "/api/stats"):
            shown = client.get(path)
            assert shown.status_code == 200
            assert "canary" not in shown.text


def test_empty(client: httpx.Client) -> None:
    """A request without a line says so."""
    assert fault(post(client, b"")) == (400, "empty request")


def test_errors_are_enveloped(client: httpx.Client) -> None:
    """A wrong address or method is answered in the endpoint's form."""
    assert fault(client.get("/nowhere")) == (404, "Not Found")
    assert fault(client.get("/metrics/ingest")) == (405, "Method Not Allowed")


def complaint_without(module: str) -> str:
    """Import the receiver where *module* is missing; return the error."""
    script = f"import sys; sys.modules[{module!r}] = None; import dtmetrics.receiver"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    return result.stderr.splitlines()[-1]


def test_without_the_extra() -> None:
    """Without its extra, importing the receiver says what to install."""
    for absent in ("starlette", "uvicorn"):
        assert 'pip install "dtmetrics[receiver]"' in complaint_without(absent)


def test_without_something_else() -> None:
    """A fault of our own is not mistaken for a missing extra."""
    assert "pip" not in complaint_without("dtmetrics.receiver.page")

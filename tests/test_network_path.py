from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.config import Config
from dtmetrics._core.secret import Secret
from dtmetrics._doctor import network_path
from dtmetrics._doctor.finding import Finding, Status
from dtmetrics._doctor.network_path import network_findings
from dtmetrics._export import causes
from tests.support.authority import Authority
from tests.support.endpoint import Endpoint, refusing_port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority for the certificates of this module."""
    return Authority(tmp_path_factory.mktemp("authority"), unit="authority")


def found(url: str, ca_file: Path | None = None) -> list[Finding]:
    """Return the findings on the way to *url*."""
    return [*network_findings(Config(endpoint=url, ca_file=ca_file and str(ca_file)))]


def test_plain_http() -> None:
    """The name and the connection are checked, and no request is sent."""
    with Endpoint() as endpoint:
        name, connection = found(endpoint.url)
    assert name.text == "127.0.0.1 is 127.0.0.1"
    assert connection.status is Status.OK
    assert endpoint.requests == []


def test_certificate(authority: Authority) -> None:
    """The chain of a certificate is named, and how long it is valid."""
    with Endpoint(tls=authority.server(name="year", days=365)) as endpoint:
        *_, tls = found(endpoint.url, authority.path)
    assert tls.status is Status.OK
    assert tls.details["chain"] == ["year", "tests, authority"]
    assert tls.text == "TLSv1.3, year < tests, authority, valid for 364 more days"


def test_certificate_that_ends(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that ends within 14 days is a warning, also without its chain."""
    monkeypatch.setattr(network_path, "_verified_chain", lambda secured: 1 / 0)
    with Endpoint(tls=authority.server(name="soon")) as endpoint:
        *_, tls = found(endpoint.url, authority.path)
    assert tls.status is Status.WARNING
    assert tls.details["chain"] == ["soon", "tests, authority"]
    assert "valid for 1 more days" in tls.text


def test_unknown_authority(authority: Authority) -> None:
    """A certificate that is not trusted is a problem, with its cause and remedy."""
    with Endpoint(tls=authority.server()) as endpoint:
        *_, tls = found(endpoint.url)
    assert (tls.status, tls.cause) == (Status.PROBLEM, "tls-unknown-authority")
    assert tls.remedy == causes.TLS_UNKNOWN_AUTHORITY.remedy


def through(proxy: str) -> list[Finding]:
    """Return the findings on the way to an environment through *proxy*."""
    url = "https://abc12345.live.dynatrace.com/api/v2/metrics/ingest"
    return [*network_findings(Config(endpoint=url, proxy=Secret(proxy)))]


def test_proxy() -> None:
    """With a proxy the way to that is checked, and its credentials are not shown."""
    with Endpoint() as endpoint:
        findings = through(f"http://user:CANARY@127.0.0.1:{endpoint.port}")
    assert [each.check for each in findings] == ["proxy", "name", "connection", "tls"]
    assert [each.status for each in findings[:3]] == [Status.OK] * 3
    assert findings[3].status is Status.SKIPPED
    assert "CANARY" not in repr(findings)


def test_unreachable_proxy() -> None:
    """A proxy that cannot be reached is named as such, with the remedy."""
    *_, connection = through(f"http://127.0.0.1:{refusing_port()}")
    assert connection.status is Status.PROBLEM
    assert connection.cause == "proxy-unreachable"


def test_silent_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends no handshake is given up."""
    monkeypatch.setattr(network_path, "_TLS_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        *_, tls = found(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert tls.cause == "timeout-connecting"


def test_connection_refused() -> None:
    """A closed port ends the check, with the cause."""
    name, connection = found(f"http://localhost:{refusing_port()}")
    assert name.status is Status.OK
    assert connection.cause == "connection-refused"


def test_swallowed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that swallows the packets is given up."""

    def swallow(address: object, timeout: float) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", swallow)
    _, connection = found("https://127.0.0.1")
    assert connection.cause == "timeout-connecting"
    assert "127.0.0.1:443" in connection.text


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError()], ids=repr)
def test_unknown_name(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not found, or not valid, ends the check."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    [name] = found("https://metrics.invalid")
    assert (name.status, name.cause) == (Status.PROBLEM, "name-not-found")


def test_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that never answers is given up."""
    answers = threading.Event()
    monkeypatch.setattr(network_path, "_NAME_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers.wait())
    [name] = found("https://metrics.invalid")
    answers.set()
    assert name.cause == "name-not-found"
    assert "no answer in 0.05 s" in name.text


def test_names_of_certificates() -> None:
    """A certificate's name is printable and short, and need not be a common name."""
    assert network_path._name(((("commonName", "a\x1b" + "b" * 200),),)) == (
        "a " + "b" * 98
    )
    assert network_path._name(((("organizationName", "Shop"),),)) == "Shop"
    assert network_path._name(()) == "unnamed"

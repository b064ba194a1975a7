from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.certificate_settings import (
    key_password,
    trusted_by_environment,
)
from dtmetrics._config.config import Config
from dtmetrics._config.environment import certificate_variables
from dtmetrics._core.secret import Secret
from dtmetrics._export import tls
from dtmetrics._runtime.factories import tls_files
from dtmetrics.errors import ConfigError
from tests.support.authority import Authority
from tests.test_tls import encrypted


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return a new authority."""
    return Authority(tmp_path)


def problems(environ: dict[str, str] | None = None, **arguments: Any) -> list[str]:
    """Return the problems of these settings."""
    if "key_password" in arguments:
        arguments["key_password"] = Secret(arguments["key_password"])
    try:
        Config.resolve(arguments, environ or {})
    except ConfigError as error:
        return list(error.problems)
    return []


def test_client_certificate(authority: Authority) -> None:
    """Certificate and key are two files, or one, and the key may be encrypted."""
    cert, key = authority.client()
    both = cert.with_name("both.pem")
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    assert problems(client_cert=cert, client_key=key) == []
    assert problems(client_cert=both) == []
    secret = encrypted(key)
    assert problems(client_cert=cert, client_key=secret, key_password="CANARY") == []
    environ = {
        "DTMETRICS_CLIENT_CERT": str(cert),
        "DTMETRICS_CLIENT_KEY": str(secret),
        "DTMETRICS_KEY_PASSWORD": "CANARY",
    }
    assert problems(environ) == []


def test_problems(authority: Authority, tmp_path: Path) -> None:
    """Each way in which certificate and key do not fit has a sentence of its own."""
    cert, key = authority.client()
    other_cert, other_key = authority.client("other.example")
    secret = encrypted(key)
    needs = "must decrypt the key of client_cert, got another one"
    assert problems(client_cert=cert, client_key=other_key) == [
        f"client_key must be the key of client_cert, got {str(other_key)[:60]!r}"
        + "..." * (len(str(other_key)) > 60)
    ]
    assert problems(client_cert=cert, client_key=secret) == [f"key_password {needs}"]
    assert problems(client_cert=cert, client_key=secret, key_password="CANARY2") == [
        f"key_password {needs}"
    ]
    environ = {"DTMETRICS_KEY_PASSWORD": "CANARY2"}
    assert problems(environ, client_cert=cert, client_key=secret) == [
        f"DTMETRICS_KEY_PASSWORD {needs}"
    ]
    assert problems(client_cert="no/such/file") == [
        "client_cert must name a readable file, got 'no/such/file'"
    ]
    assert problems(client_cert=cert, client_key="no/such/file") == [
        "client_key must name a readable file, got 'no/such/file'"
    ]
    (problem,) = problems(client_cert=cert)
    assert problem.startswith(
        "client_cert must name a PEM file of certificate and key, got "
    )
    (problem,) = problems(client_cert=__file__, client_key=key)
    assert problem == (
        "client_cert and client_key must name PEM files of a certificate and its key, "
        "got SSLError"
    )
    assert other_cert.exists()


@pytest.mark.parametrize(
    "settings", [{"client_key": "a.key"}, {"key_password": "CANARY"}]
)
def test_no_certificate(settings: dict[str, str]) -> None:
    """A key or a password alone is a ConfigError: it would have no effect."""
    (name,) = settings
    assert problems(**settings) == [f"client_cert must be set with {name}, got none"]


def test_only_the_first_problem(authority: Authority) -> None:
    """A path that is invalid is reported once, and not as a certificate too."""
    _, key = authority.client()
    assert problems(client_cert=("a", "b"), client_key=key) == [
        "client_cert must be a path, got an object of type tuple"
    ]
    assert problems(client_cert=7, key_password=b"CANARY") == [
        "client_cert must be a path, got 7",
        "key_password must be a str, got ***",
    ]


def test_key_password_from_a_file() -> None:
    """A password loses the line end that a mounted file has, and no space."""
    assert key_password(Secret(" pass \r\n")).reveal() == " pass "


def test_order_of_the_variables(authority: Authority, tmp_path: Path) -> None:
    """SSL_CERT_FILE wins over SSL_CERT_DIR, and that over REQUESTS_CA_BUNDLE."""
    file, directory = str(authority.path), str(tmp_path)
    environ = {"REQUESTS_CA_BUNDLE": file, "SSL_CERT_DIR": directory}
    variables = certificate_variables(environ)
    assert list(variables) == ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"]
    assert trusted_by_environment(variables) == (None, directory, [])
    variables = certificate_variables(environ | {"SSL_CERT_FILE": file})
    assert trusted_by_environment(variables) == (file, None, [])
    assert trusted_by_environment({"REQUESTS_CA_BUNDLE": file}) == (file, None, [])
    assert trusted_by_environment({}) == (None, None, [])
    assert certificate_variables({"SSL_CERT_FILE": ""}) == {}


def test_unusable_variable(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A variable that names no certificates is logged, and the next one is used."""
    environ = {
        "SSL_CERT_FILE": "/nonexistent",
        "SSL_CERT_DIR": os.pathsep.join(["/nonexistent", "a\0b"]),
        "REQUESTS_CA_BUNDLE": str(authority.path),
    }
    arguments = {"endpoint": Secret("https://ag.example"), "token": Secret("x")}
    files = tls_files(Config.resolve(arguments, environ))
    assert files.ca_file == str(authority.path)
    assert caplog.messages == [
        f"dtmetrics: {name} names no readable certificates, and is not used"
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")
    ]


def test_ca_file_wins(authority: Authority) -> None:
    """With a ca_file the variables of other programs are not read."""
    environ = {"SSL_CERT_FILE": "/nonexistent"}
    arguments = {
        "endpoint": Secret("https://ag.example"),
        "token": Secret("x"),
        "ca_file": authority.path,
    }
    files = tls_files(Config.resolve(arguments, environ))
    assert (files.ca_file, files.ca_directory) == (str(authority.path), None)


def test_plain_http_reads_no_variable(caplog: pytest.LogCaptureFixture) -> None:
    """A OneAgent on this host needs no certificates, so that no variable is logged."""
    files = tls_files(Config.resolve({}, {"SSL_CERT_FILE": "/nonexistent"}))
    assert files.ca_file is None
    assert caplog.messages == []


def test_context_is_cached(authority: Authority) -> None:
    """The trusted certificates of a configuration are loaded once, the check included."""
    config = Config.resolve({"ca_file": authority.path})
    before = tls._context.cache_info()
    for _ in range(2):
        tls.TlsContext(tls_files(config), https=True)
    after = tls._context.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (2, 0)

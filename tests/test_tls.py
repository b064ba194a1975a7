from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._export.connections import Route
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.tls import TlsContext, TlsFiles
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.authority import Authority
from tests.support.endpoint import Endpoint
from tests.support.exporter_contract import a_batch
from tests.support.timer_clock import Clock


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return a new authority."""
    return Authority(tmp_path)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that the test moves."""
    return Clock(0.0)


def post(endpoint: Endpoint, files: TlsFiles) -> ExportResult:
    """Post a batch with these files."""
    exporter = HttpExporter(endpoint.url, route=Route(files=files))
    result = exporter.export(a_batch(), 5.0)
    exporter.close()
    return result


def files_of(authority: Authority, **files: object) -> TlsFiles:
    """Return files with the authority's certificate, and these."""
    named = {k: str(v) if isinstance(v, Path) else v for k, v in files.items()}
    return TlsFiles(**{"ca_file": str(authority.path), **named})  # type: ignore[arg-type]


def test_certificate_of_the_server_itself(authority: Authority) -> None:
    """A server's own certificate may be trusted, without that of its authority."""
    context, leaf = authority.leaf("127.0.0.1")
    with Endpoint(tls=context) as endpoint:
        assert post(endpoint, TlsFiles(str(leaf))).outcome is Outcome.ANSWERED
    other, _ = authority.leaf("127.0.0.1")
    with Endpoint(tls=other) as endpoint:
        assert post(endpoint, TlsFiles(str(leaf))).outcome is Outcome.MISCONFIGURED


def test_pinned_certificate_of_another_host(authority: Authority) -> None:
    """A trusted certificate must still be that of the host."""
    context, leaf = authority.leaf("ag.example")
    with Endpoint(tls=context) as endpoint:
        assert post(endpoint, TlsFiles(str(leaf))).outcome is Outcome.MISCONFIGURED
    assert endpoint.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command here")
def test_directory(authority: Authority, tmp_path: Path) -> None:
    """A directory of certificates has files that are named by OpenSSL's hash."""
    directory = tmp_path / "certs"
    directory.mkdir()
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(authority.path)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (directory / f"{name.strip()}.0").write_bytes(authority.path.read_bytes())
    with Endpoint(tls=authority.server()) as endpoint:
        files = TlsFiles(ca_directory=str(directory))
        assert post(endpoint, files).outcome is Outcome.ANSWERED


def test_client_certificate(authority: Authority) -> None:
    """A server that requires a client certificate gets the one of the settings."""
    cert, key = authority.client()
    both = cert.with_name("both.pem")
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    server = authority.server(client_ca=authority.path)
    with Endpoint(tls=server) as endpoint:
        files = files_of(authority, client_cert=cert, client_key=key)
        assert post(endpoint, files).outcome is Outcome.ANSWERED
        files = files_of(authority, client_cert=both)
        assert post(endpoint, files).outcome is Outcome.ANSWERED


def encrypted(key: Path) -> Path:
    """Return a copy of *key* that the password CANARY decrypts."""
    from cryptography.hazmat.primitives import serialization as form

    loaded = form.load_pem_private_key(key.read_bytes(), None)
    path = key.with_name("encrypted.key")
    path.write_bytes(
        loaded.private_bytes(
            form.Encoding.PEM,
            form.PrivateFormat.PKCS8,
            form.BestAvailableEncryption(b"CANARY"),
        )
    )
    return path


def test_encrypted_key(authority: Authority) -> None:
    """An encrypted key needs its password, and nothing asks for it on the terminal."""
    cert, key = authority.client()
    files = files_of(authority, client_cert=cert, client_key=encrypted(key))
    with Endpoint(tls=authority.server(client_ca=authority.path)) as endpoint:
        right = files._replace(key_password=Secret("CANARY"))
        assert post(endpoint, right).outcome is Outcome.ANSWERED
    assert "CANARY" not in repr(right)
    for password in "", "wrong":
        with pytest.raises(ssl.SSLError):
            TlsContext(files._replace(key_password=Secret(password)), https=True)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("other", [False, True], ids=["none", "of another authority"])
def test_client_certificate_refused(
    authority: Authority, tmp_path: Path, version: str, other: bool
) -> None:
    """A refused client certificate is a misconfiguration, and the batch was not taken.

    With TLS 1.3 the refusal arrives after the request has been written.
    """
    server = authority.server(client_ca=authority.path)
    server.minimum_version = server.maximum_version = ssl.TLSVersion[version]
    files = files_of(authority)
    if other:
        cert, key = Authority(tmp_path).client("other.example")
        files = files_of(authority, client_cert=cert, client_key=key)
    with Endpoint(tls=server) as endpoint:
        result = post(endpoint, files)
    assert endpoint.requests == []
    if version == "TLSv1_2" and not other:
        # An alert that also means that there is no common cipher.
        assert result.outcome is Outcome.RETRY
        return
    assert result.outcome is Outcome.MISCONFIGURED
    certificate = "certificate was refused" if other else "certificate is required"
    assert f"at 127.0.0.1:{endpoint.port}: " in result.reason
    assert f"client {certificate}; set client_cert and client_key" in result.reason


def test_changed_authority(authority: Authority, clock: Clock, tmp_path: Path) -> None:
    """Within a minute of a change the new content of a file is trusted."""
    path = tmp_path / "bundle.pem"
    path.write_bytes(authority.path.read_bytes())
    new = Authority(tmp_path)
    exporter = HttpExporter("https://127.0.0.1", route=Route(files=TlsFiles(str(path))))
    exporter._tls = tls = TlsContext(TlsFiles(str(path)), https=True, clock=clock)
    first = tls.context
    path.write_bytes(new.path.read_bytes())
    clock.now = 59.9
    assert not tls.renew()
    clock.now = 60.0
    assert tls.renew()
    assert tls.context is not first
    assert not tls.renew()
    with Endpoint(tls=new.server()) as endpoint:
        assert post(endpoint, TlsFiles(str(path))).outcome is Outcome.ANSWERED


def test_same_content(authority: Authority, clock: Clock) -> None:
    """A file that was written again with the same content changes nothing."""
    tls = TlsContext(files_of(authority), https=True, clock=clock)
    content = authority.path.read_bytes()
    authority.path.unlink()
    authority.path.write_bytes(content)
    clock.now = 60.0
    assert not tls.renew()


def test_same_files_share_a_context(authority: Authority) -> None:
    """Exporters with the same files share a context, until the content changes."""
    one, other = (TlsContext(files_of(authority), https=True) for _ in range(2))
    assert one.context is other.context
    authority.path.write_bytes(authority.path.read_bytes() + b"\n")
    assert TlsContext(files_of(authority), https=True).context is not one.context


def test_unusable_change(
    authority: Authority, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that cannot be used change nothing, are logged once, and are tried again."""
    caplog.set_level("INFO", "dtmetrics")
    cert, key = authority.client()
    files = files_of(authority, client_cert=cert, client_key=key)
    tls = TlsContext(files, https=True, clock=clock)
    first = tls.context
    new_cert, new_key = authority.client("new.example")
    cert.write_bytes(new_cert.read_bytes())  # and the key a moment later
    for minute in 1, 2:
        clock.now = minute * 60.0
        assert not tls.renew()
    key.unlink()
    clock.now = 180.0
    assert not tls.renew()
    assert tls.context is first
    key.write_bytes(new_key.read_bytes())
    clock.now = 240.0
    assert tls.renew()
    assert caplog.messages == [
        "dtmetrics: changed certificates cannot be used: SSLError",
        "dtmetrics: changed certificates cannot be used: FileNotFoundError",
        "dtmetrics: changed certificates are in use",
    ]


def test_changed_client_certificate_is_used(
    authority: Authority, clock: Clock, tmp_path: Path
) -> None:
    """A changed certificate is used at once: idle connections are closed for it."""
    cert, key = authority.client()
    files = files_of(authority, client_cert=cert, client_key=key)
    with Endpoint(tls=authority.server(client_ca=authority.path)) as endpoint:
        exporter = HttpExporter(endpoint.url, route=Route(files=files))
        exporter._tls._clock = clock
        exporter._tls._check_at = 60.0
        for at in 0.0, 30.0, 60.0:
            clock.now = at
            assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
            for path, new in zip((cert, key), authority.client("new"), strict=True):
                path.write_bytes(new.read_bytes())
        exporter.close()
    assert [request.connection for request in endpoint.requests] == [1, 1, 2]


def test_plain_http(clock: Clock) -> None:
    """Plain http reads no certificate, and needs none."""
    tls = TlsContext(TlsFiles("/no/such/file"), https=False, clock=clock)
    clock.now = 60.0
    assert not tls.renew()


@pytest.fixture
def system_file(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a file of the test be the system's certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return authority.path


def test_changed_system_certificates(system_file: Path, clock: Clock) -> None:
    """The system's file of certificates is read again when its content has changed."""
    tls = TlsContext(TlsFiles(), https=True, clock=clock)
    system_file.write_bytes(system_file.read_bytes() + b"\n")
    clock.now = 60.0
    assert tls.renew()


@pytest.mark.skipif(
    not hasattr(ssl, "VERIFY_X509_STRICT"), reason="no strict verification here"
)
def test_strictness(authority: Authority) -> None:
    """A company's certificates need not meet every detail of RFC 5280."""
    own = TlsContext(files_of(authority), https=True).context
    assert not own.verify_flags & ssl.VERIFY_X509_STRICT
    system = TlsContext(TlsFiles(), https=True).context
    python = ssl.create_default_context().verify_flags
    assert system.verify_flags == python | ssl.VERIFY_X509_PARTIAL_CHAIN

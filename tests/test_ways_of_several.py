"""Several exporters, each with a token, a proxy, certificates and pauses of its own."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest

from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import DynatraceExporter
from tests.support.authority import Authority
from tests.support.endpoint import Endpoint, answer
from tests.support.proxy_server import ProxyServer
from tests.support.runtime_calls import inc

HOST = "abc12345.live.dynatrace.com"
SETTINGS: dict[str, Any] = {"interval": None, "metadata": False}


def test_certificates_and_tokens(runtime: Runtime, tmp_path: Path) -> None:
    """Two endpoints trust two authorities, and each gets its certificate and token."""
    one, two = Authority(tmp_path), Authority(tmp_path)
    token_file = tmp_path / "token"
    token_file.write_text("from-file\n")
    cert, key = one.client()
    with (
        Endpoint(tls=one.server(client_ca=one.path)) as first,
        Endpoint(tls=two.server()) as second,
    ):
        runtime.configure(
            exporters=[
                DynatraceExporter(
                    endpoint=first.url,
                    token=lambda: "from-callable",
                    ca_file=one.path,
                    client_cert=cert,
                    client_key=key,
                ),
                DynatraceExporter(
                    endpoint=second.url, token_file=token_file, ca_file=two.path
                ),
            ],
            **SETTINGS,
        )
        inc(runtime)
        assert runtime.shutdown()
        given = [e.requests[0].headers["authorization"] for e in (first, second)]
        assert given == ["Api-Token from-callable", "Api-Token from-file"]
        assert first.total("orders") == second.total("orders") == 1


def test_proxy_of_one(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One goes through its proxy, compressed; the other one needs none."""
    monkeypatch.setenv("NO_PROXY", "*")
    authority = Authority(tmp_path)
    with (
        Endpoint(tls=authority.server(HOST)) as remote,
        ProxyServer({f"{HOST}:443": remote.port}, credentials="u:p") as proxy,
        Endpoint() as oneagent,
    ):
        runtime.configure(
            exporters=[
                DynatraceExporter(
                    endpoint=f"https://{HOST}",
                    token="abc",
                    ca_file=authority.path,
                    proxy=proxy.url,
                    compression="gzip",
                ),
                DynatraceExporter(endpoint=oneagent.url, compression="gzip"),
            ],
            **SETTINGS,
        )
        inc(runtime)
        assert runtime.shutdown()
    assert proxy.requests == [f"CONNECT {HOST}:443 HTTP/1.1"]
    assert remote.requests[0].headers["content-encoding"] == "gzip"
    assert "content-encoding" not in oneagent.requests[0].headers


@pytest.mark.parametrize("header", ["Retry-After", "X-RateLimit-Reset"])
def test_pause_that_one_names(runtime: Runtime, header: str) -> None:
    """An endpoint that names a time gets nothing before it, and the other one does."""
    value = 60 if header == "Retry-After" else int((time() + 60) * 1e6)
    throttled = answer(429, headers=[f"{header}: {value}"])
    with Endpoint(otherwise=throttled) as slow, Endpoint() as free:
        runtime.configure(
            exporters=[DynatraceExporter(endpoint=each.url) for each in (slow, free)],
            **SETTINGS,
        )
        for _ in range(3):
            inc(runtime)
            assert not runtime.flush(2.0)
        assert len(slow.requests) == 1
        assert free.total("orders") == 3
        runtime.shutdown(0.0)


def test_clock_of_one(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """An answer with another time is named in the account of that endpoint alone."""
    date = formatdate(time() - 3_600, usegmt=True)
    late = answer(
        202, {"linesOk": 1, "linesInvalid": 0, "error": None}, [f"Date: {date}"]
    )
    with Endpoint(otherwise=late) as first, Endpoint() as second:
        runtime.configure(
            exporters=[DynatraceExporter(endpoint=e.url) for e in (first, second)],
            **SETTINGS,
        )
        inc(runtime)
        assert runtime.flush()
        errors = [each.last_error for each in runtime.stats().exporters.values()]
        assert "clock" in errors[0]
        assert errors[1] == ""
    assert "clock" in caplog.text


def test_other_certificates_with_force(runtime: Runtime, tmp_path: Path) -> None:
    """``configure(force=True)`` reads a changed file at once, and sends what waits."""
    wrong, right = Authority(tmp_path), Authority(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(wrong.path.read_bytes())
    with Endpoint(tls=right.server()) as endpoint:
        exporters = [
            DynatraceExporter(endpoint=endpoint.url, ca_file=bundle),
        ]
        runtime.configure(exporters=exporters, **SETTINGS)
        inc(runtime)
        assert not runtime.flush()
        bundle.write_bytes(right.path.read_bytes())
        runtime.configure(exporters=exporters, force=True, **SETTINGS)
        assert runtime.shutdown()
        assert endpoint.total("orders") == 1
        assert runtime.stats().dropped == {}


def test_other_source_of_the_token(runtime: Runtime, tmp_path: Path) -> None:
    """What waits for a token goes out with the next one, wherever that comes from."""
    path = tmp_path / "token"
    path.write_text("right")
    sources: list[dict[str, Any]] = [
        {"token": "wrong"},
        {"token": lambda: "wrong"},
        {"token_file": path},
    ]
    with Endpoint(answer(401), answer(401)) as endpoint:
        for number, source in enumerate(sources):
            runtime.configure(
                exporter=DynatraceExporter(endpoint=endpoint.url, **source),
                force=True,
                **SETTINGS,
            )
            inc(runtime)
            assert runtime.flush() == (number == 2)
        tokens = [each.headers["authorization"] for each in endpoint.requests]
        assert {*tokens[:2]} == {"Api-Token wrong"}
        assert {*tokens[2:]} == {"Api-Token right"}
        assert endpoint.total("orders") == 3
        assert runtime.stats().dropped == {}

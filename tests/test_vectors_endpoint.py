"""The official clients' tests of where to send, and with which headers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.endpoint_url import INGEST_PATH, LOCAL_ENDPOINT
from dtmetrics._config.platform_files import EndpointFileExporter
from dtmetrics._core.secret import Secret
from dtmetrics._export.http import HttpExporter
from dtmetrics._runtime.runtime import Runtime, _passed_settings
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Exporter
from tests.support.endpoint import Endpoint, Request
from tests.support.exporter_contract import a_batch
from tests.support.vectors import (
    Case,
    Difference,
    agree,
    agree_in_part,
    differ,
    vectors,
)

HEADERS = ("accept", "authorization", "content-encoding", "content-type", "user-agent")


def ours(token: str = "") -> dict[str, str]:
    """Return the headers that we send, of those in the official tests."""
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "user-agent": f"dtmetrics (pid {os.getpid()})",
    }
    return headers | ({"authorization": f"Api-Token {token}"} if token else {})


differ(
    Difference(
        "a URL of an environment is completed",
        "ep-008",
        lambda inputs: {"url": inputs["uri"] + INGEST_PATH, "token": "secret"},
    ),
    Difference(
        "the default endpoint is the OneAgent's, which needs no token",
        "ep-009 ep-015",
        lambda inputs: {"url": LOCAL_ENDPOINT, "valid": True, "error": False},
    ),
    Difference(
        "every loopback name means this host",
        "ep-013",
        lambda inputs: {"url": inputs["url"], "error": False},
    ),
    Difference(
        "an endpoint that is not this host needs a token",
        "ep-017",
        lambda inputs: {"refused": True},
    ),
    Difference(
        "our User-Agent, and no Accept header",
        "ep-016 ep-018 ep-019",
        lambda inputs: {
            "url": inputs.get("endpoint_url", LOCAL_ENDPOINT),
            "headers": ours(inputs["api_token"] if "endpoint_url" in inputs else ""),
        },
    ),
    Difference(
        "our User-Agent, and the charset of the text",
        "ep-021",
        lambda inputs: {"headers": ours("apiToken")},
    ),
    Difference(
        "no compression: it is not documented that a OneAgent reads it",
        "ep-022",
        lambda inputs: {
            "url": inputs["base_url"] + INGEST_PATH[1:],
            "headers": ours("dt-api-key"),
        },
    ),
    Difference(
        "an invalid URL is not followed",
        "ep-004",
        lambda inputs: [{"url": LOCAL_ENDPOINT, "token": ""}] * 2,
    ),
    Difference(
        "our User-Agent, and the charset of the text, from the file too",
        "ep-005",
        lambda texts: [
            {"url": url, "headers": ours(token)}
            for url, token in (re.findall("= (.*)", text) for text in texts)
        ],
    ),
)


class RedirectedRequests:
    """The requests to any URL, all of which reach one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.urls: list[str] = []
        self.requests = endpoint.requests
        self.to = httpx.URL(endpoint.url)

    def facts(self) -> Case:
        """Return the facts of the last request that the official tests check."""
        request: Request = self.requests[-1]
        headers = request.headers
        return {
            "url": self.urls[-1],
            "headers": {name: headers[name] for name in HEADERS if name in headers},
            "token": headers.get("authorization", "").removeprefix("Api-Token "),
        }


@pytest.fixture
def redirected(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedirectedRequests]:
    """Send the requests to any URL to one real endpoint."""
    with Endpoint() as endpoint:
        made = RedirectedRequests(endpoint)

        class Detour(httpx.HTTPTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                made.urls.append(str(request.url))
                request.url = made.to
                return super().handle_request(request)

        def new_transport(*_: object, **__: object) -> httpx.BaseTransport:
            return Detour(verify=False, trust_env=False)

        monkeypatch.setattr("dtmetrics._export.http.new_transport", new_transport)
        yield made


@vectors("endpoint", "config")
def test_settings(case: Case) -> None:
    """Settings of the official clients have the same meaning and defaults here."""
    inputs, theirs = case["input"], dict(case["expected"])
    try:
        config = settings_of(inputs)
    except ConfigError:
        facts = {"valid": False, "error": True}
    else:
        facts = {
            "url": config.endpoint,
            "token": config.token.reveal(),
            "metricKeyPrefix": config.prefix,
            "defaultDimensions": dict(config.dimensions),
            "enrichWithDynatraceMetadata": config.enrich,
            "exportMeterMetadata": config.metadata,
            "valid": True,
            "error": False,
        }
    if "error" in theirs:
        theirs["error"] = theirs["error"] is not None
    agree_in_part(case, facts, theirs)


def settings_of(inputs: Case) -> Config:
    """Return the settings; those that the other client reads from a file, as variables."""
    if "apiVersion" in inputs:
        arguments = {"endpoint": inputs.get("uri"), "token": inputs.get("apiToken")}
        return Config.resolve(_passed_settings(arguments), {})
    names = {"url": "DTMETRICS_ENDPOINT", "api_token": "DTMETRICS_TOKEN"}
    return Config.resolve({}, {names[name]: text for name, text in inputs.items()})


@vectors("endpoint", "request")
def test_requests(
    case: Case,
    runtime: Runtime,
    redirected: RedirectedRequests,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request goes where those of the official clients go, with our headers."""
    monkeypatch.setattr(
        "dtmetrics._config.environment.platform_directory", lambda _: str(tmp_path)
    )
    inputs = case["input"]
    facts: Case = {"refused": False}
    try:
        runtime.configure(
            endpoint=first_of(inputs, "endpoint_url", "uri", "base_url"),
            token=first_of(inputs, "api_token", "token"),
            interval=None,
            enrich=False,
        )
    except ConfigError:
        facts["refused"] = True
    else:
        if inputs.get("lines") != 0:
            runtime.meters.root.counter("a").inc()
        assert runtime.shutdown()
        facts["requests"] = len(redirected.requests)
    if redirected.requests:
        facts |= redirected.facts()
    agree_in_part(case, facts, case["expected"])


def first_of(inputs: Case, *names: str) -> Any:
    """Return the value of the first of *names* that is present."""
    return next((inputs[name] for name in names if name in inputs), None)


@vectors("endpoint", "url_form")
def test_forms(case: Case) -> None:
    """Each documented form of a URL is used as it is, or completed to it."""
    url = re.sub(r"\{([a-z-]+)\}", r"\1", case["expected"])
    forms = [url, f"{url}/"]
    if url.endswith(INGEST_PATH):
        base = url.removesuffix(INGEST_PATH)
        forms += [base, f"{base}/", f"{base}/api", f"{base}/api/v2/"]
    found = {
        Config.resolve({"endpoint": Secret(each), "token": Secret("t")}, {}).endpoint
        for each in forms
    }
    agree(case, found, {url})


# -- the operator's file --------------------------------------------------------------


def follow_file(
    path: Path, texts: list[str | None], redirected: RedirectedRequests
) -> Iterator[Case]:
    """Export with each of *texts* in the file; yield the facts of each request."""
    now = 0.0

    def make(endpoint: Secret, token: Secret) -> Exporter:
        config = Config().with_destination(endpoint, token)
        return HttpExporter(config.endpoint, config.token, local=config.local)

    def write(text: str | None) -> None:
        if text is not None:
            path.write_text(text, "utf-8")

    write(texts[0])
    fallback = HttpExporter(LOCAL_ENDPOINT, local=True)
    exporter = EndpointFileExporter(str(path), make, fallback, int, lambda: now)
    for text in texts:
        write(text)
        for seconds in (60.0, 1.0):  # a change is read twice before it counts
            now += seconds
            exporter.export(a_batch(), 5.0)
        yield redirected.facts()
    exporter.close()


@vectors("endpoint", "endpoint_file")
def test_file(case: Case, tmp_path: Path, redirected: RedirectedRequests) -> None:
    """A file selects the endpoint as it does for the official library."""
    [facts] = follow_file(tmp_path / "endpoint.properties", [case["input"]], redirected)
    agree_in_part(case, facts, case["expected"])


@vectors("endpoint", "endpoint_reload")
def test_changed_file(
    case: Case, tmp_path: Path, redirected: RedirectedRequests
) -> None:
    """A changed file selects the endpoint as it does for the official library."""
    theirs = case["expected"]
    found = follow_file(tmp_path / "endpoint.properties", case["input"], redirected)
    facts = [{name: each[name] for name in theirs[0]} for each in found]
    agree(case, facts, theirs)

"""The official clients' tests of where to send, and with which headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.discovery import EndpointFileExporter
from dtmetrics._config.endpoint_url import INGEST_PATH, LOCAL_ENDPOINT
from dtmetrics._core.secret import Secret
from dtmetrics._export.http import HttpExporter
from dtmetrics._runtime.runtime import Process, _given
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Exporter
from tests.support.endpoint import Endpoint, Request
from tests.support.exporter_contract import a_body
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
    """Return the headers that we send, of those that somebody tests."""
    said = {"content-type": "text/plain; charset=utf-8", "user-agent": "dtmetrics"}
    return said | ({"authorization": f"Api-Token {token}"} if token else {})


differ(
    Difference(
        "a URL of an environment is completed",
        "ep-008",
        lambda given: {"url": given["uri"] + INGEST_PATH, "token": "secret"},
    ),
    Difference(
        "without an endpoint it is the OneAgent's, which asks for no token",
        "ep-009 ep-015",
        lambda given: {"url": LOCAL_ENDPOINT, "valid": True, "error": False},
    ),
    Difference(
        "this host is this host by any of its names",
        "ep-013",
        lambda given: {"url": given["url"], "error": False},
    ),
    Difference(
        "an endpoint that is not this host needs a token",
        "ep-017",
        lambda given: {"refused": True},
    ),
    Difference(
        "our own User-Agent, and no word about what may be answered",
        "ep-016 ep-018 ep-019",
        lambda given: {
            "url": given.get("endpoint_url", LOCAL_ENDPOINT),
            "headers": ours(given["api_token"] if "endpoint_url" in given else ""),
        },
    ),
    Difference(
        "our own User-Agent, and the encoding of the text",
        "ep-021",
        lambda given: {"headers": ours("apiToken")},
    ),
    Difference(
        "no compression: no page says that a OneAgent reads it",
        "ep-022",
        lambda given: {
            "url": given["base_url"] + INGEST_PATH[1:],
            "headers": ours("dt-api-key"),
        },
    ),
    Difference(
        "what is no URL is not followed",
        "ep-004",
        lambda given: [{"url": LOCAL_ENDPOINT, "token": ""}] * 2,
    ),
    Difference(
        "our own User-Agent, and the encoding of the text, here too",
        "ep-005",
        lambda texts: [
            {"url": url, "headers": ours(token)}
            for url, token in (re.findall("= (.*)", text) for text in texts)
        ],
    ),
)


class Seen:
    """What an endpoint saw, at whichever URL it was sent to."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.urls: list[str] = []
        self.requests = endpoint.requests
        self.to = httpx.URL(endpoint.url)

    def facts(self) -> Case:
        """Return what is to be said of the last request."""
        request: Request = self.requests[-1]
        headers = request.headers
        return {
            "url": self.urls[-1],
            "headers": {name: headers[name] for name in HEADERS if name in headers},
            "token": headers.get("authorization", "").removeprefix("Api-Token "),
        }


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Let one endpoint be every endpoint, so that real requests can be looked at."""
    with Endpoint() as endpoint:
        made = Seen(endpoint)

        class Detour(httpx.HTTPTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                made.urls.append(str(request.url))
                request.url = made.to
                return super().handle_request(request)

        def new_transport(exporter: HttpExporter) -> httpx.BaseTransport:
            return Detour(verify=False, trust_env=False)

        monkeypatch.setattr(HttpExporter, "_new_transport", new_transport)
        yield made


@vectors("endpoint", "config")
def test_settings(case: Case) -> None:
    """What the official clients take as settings we take, with the same defaults."""
    given, theirs = case["input"], dict(case["expected"])
    try:
        config = settings_of(given)
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


def settings_of(given: Case) -> Config:
    """Return the settings; what the other client reads from a file, as variables."""
    if "apiVersion" in given:
        arguments = {"endpoint": given.get("uri"), "token": given.get("apiToken")}
        return Config.resolve(_given(arguments), {})
    names = {"url": "DTMETRICS_ENDPOINT", "api_token": "DTMETRICS_TOKEN"}
    return Config.resolve({}, {names[name]: text for name, text in given.items()})


@vectors("endpoint", "request")
def test_requests(
    case: Case,
    process: Process,
    seen: Seen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request goes where those of the official clients go, with its own headers."""
    monkeypatch.setattr(
        "dtmetrics._config.environment.platform_directory", lambda _: str(tmp_path)
    )
    given = case["input"]
    facts: Case = {"refused": False}
    try:
        process.configure(
            endpoint=first_of(given, "endpoint_url", "uri", "base_url"),
            token=first_of(given, "api_token", "token"),
            interval=None,
            enrich=False,
        )
    except ConfigError:
        facts["refused"] = True
    else:
        if given.get("lines") != 0:
            process.meters.root.counter("a").inc()
        assert process.shutdown()
        facts["requests"] = len(seen.requests)
    if seen.requests:
        facts |= seen.facts()
    agree_in_part(case, facts, case["expected"])


def first_of(given: Case, *names: str) -> Any:
    """Return the value that one of *names* has."""
    return next((given[name] for name in names if name in given), None)


@vectors("endpoint", "url_form")
def test_forms(case: Case) -> None:
    """Each documented form of a URL is taken as it is, or completed to it."""
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


def followed(path: Path, texts: list[str | None], seen: Seen) -> Iterator[Case]:
    """Export with each of *texts* in the file, after some time; yield what was sent."""
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
        for seconds in (60.0, 1.0):  # it is looked at twice
            now += seconds
            exporter.export(a_body(), 5.0)
        yield seen.facts()
    exporter.close()


@vectors("endpoint", "endpoint_file")
def test_file(case: Case, tmp_path: Path, seen: Seen) -> None:
    """The file says where to send as it does to the official library."""
    [facts] = followed(tmp_path / "endpoint.properties", [case["input"]], seen)
    agree_in_part(case, facts, case["expected"])


@vectors("endpoint", "endpoint_reload")
def test_changed_file(case: Case, tmp_path: Path, seen: Seen) -> None:
    """A file that changes is followed as the official library follows it."""
    theirs = case["expected"]
    found = followed(tmp_path / "endpoint.properties", case["input"], seen)
    facts = [{name: each[name] for name in theirs[0]} for each in found]
    agree(case, facts, theirs)

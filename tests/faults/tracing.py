"""Who traces an application's requests: ours are none of its business.

Each program asks what it would ask anyway, of the same endpoint, in a request that is
traced: what that makes of spans is the truth, counted before anything of ours is sent.
Then it does so again and again, recording: with a flush in the middle of a request, and
with posts of a thread that a request has started. There have to be so many spans for
each request, and no more; and of our own integrations no series but for what it asked.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import OWN, Server

ROUNDS = 5

SERIES = "asked", "orders", "http.client.request.duration"

OTEL = """
from importlib.metadata import entry_points
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
for each in entry_points(group="opentelemetry_instrumentor"):
    if each.name in ("httpx", "requests", "sqlite3", "threading", "urllib", "urllib3"):
        each.load()().instrument()

def request():
    return trace.get_tracer("shop").start_as_current_span("request")

def spans():
    found = [span.name for span in kept.get_finished_spans()]
    data = reader.get_metrics_data()
    for scope in data.resource_metrics[0].scope_metrics if data else ():
        for metric in scope.metrics:
            count = sum(point.count for point in metric.data.data_points)
            found += [metric.name] * count
    return found
"""

SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.socket import SocketIntegration
from sentry_sdk.transport import Transport

found = []

class BoundedCache(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            traced = item.payload.json or {}
            if item.headers["type"] == "transaction":
                found.append(traced["transaction"])
                found.extend(span["op"] for span in traced["spans"])

sentry_sdk.init(
    "http://key@127.0.0.1:9/1",
    integrations=[SocketIntegration()],
    traces_sample_rate=1.0,
    transport=BoundedCache,
)

def request():
    return sentry_sdk.start_transaction(name="request")

def spans():
    return list(found)
"""

DDTRACE = """
import ddtrace.auto
from ddtrace import patch
from ddtrace.trace import TraceFilter, tracer

found = []

class BoundedCache(TraceFilter):
    def process_trace(self, trace):
        found.extend(span.name for span in trace)

tracer.configure(trace_processors=[BoundedCache()])
patch(httplib=True, httpx=True, requests=True, sqlite3=True, urllib3=True, raise_errors=True)

def request():
    return tracer.trace("request")

def spans():
    return list(found)
"""

#: Nothing is sent to anybody, or looked for.
QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
}

APPLICATION = """
import sqlite3
import urllib.request
from collections import Counter

import httpx
import requests
import urllib3

from dtmetrics.integrations.httpx import instrument_httpx
from dtmetrics.integrations.requests import instrument_requests

url, rounds = os.environ["DTMETRICS_ENDPOINT"], int(sys.argv[1])

def asks():
    said = "asked count,delta=1"
    httpx.post(url, content=said)
    requests.post(url, data=said)
    urllib3.PoolManager().request("POST", url, body=said)  # on a connection of its own
    urllib.request.urlopen(url, said.encode()).close()
    tally[0] += 4
    sqlite3.connect(":memory:").execute("SELECT 1").fetchone()

with request():
    asks()
alone = Counter(spans())
instrument_httpx()
instrument_requests()
for interval in None, 0.05:
    configure(interval=interval, force=True)
    for _ in range(rounds):
        answered = dtmetrics.stats().accepted
        with request():
            counter("orders").inc()
            tally[1] += 1
            asks()
            # The request goes on until something of ours was posted and answered.
            while not (interval or flush()) or dtmetrics.stats().accepted == answered:
                time.sleep(0.01)
tell(ready=True)
hear()
with request():
    counter("orders").inc()
    tally[1] += 1
    flush(0.5)
tell(refused=True)
hear()
delivered = deliver()
finish(delivered=delivered, alone=alone, spans=Counter(spans()))
"""


@scenario(
    packages=("opentelemetry-instrumentation-httpx", "opentelemetry-sdk", "requests"),
    fast=True,
)
def traced_by_opentelemetry(run: Run) -> Row:
    """OpenTelemetry's instrumentations, as many as there are, see no post of ours."""
    return _traced(run, OTEL)


@scenario(packages=("requests", "sentry-sdk"), fast=True)
def traced_by_sentry(run: Run) -> Row:
    """Sentry's transactions hold what the application asks, and no post of ours."""
    return _traced(run, SENTRY)


@scenario(packages=("ddtrace", "requests"), fast=True)
def traced_by_ddtrace(run: Run) -> Row:
    """Traces of ddtrace hold what the application asks, and no post of ours."""
    return _traced(run, DDTRACE)


def _traced(run: Run, tracer: str) -> Row:
    row = Row()
    rounds = 1 if run.quick else ROUNDS
    with (
        Server() as server,
        run.program(tracer + APPLICATION, server, rounds, **QUIET) as program,
    ):
        if not row.require(program.hear("ready"), f"ended: {program.said}"):
            return row
        # A post that fails is as little seen.
        server.script({"verdict": "status", "status": 503})
        program.say("go on")
        program.hear("refused")
        server.script()
        program.say("go on")
        facts = program.hear("stats")
        if row.told(program, facts):
            row.require(facts["delivered"], "not delivered")
            _judge(row, facts, 1 + 2 * rounds)
            truth, tally = server.truth(), program.tally()
            _came(row, truth.total("asked"), tally[0], "of the application's own")
            _came(row, truth.total("orders"), tally[1], "recorded")
            # By httpx and by requests, in each round but the first.
            asked = truth.total("http.client.request.duration")
            _came(row, asked, 4 * rounds, "measured")
            more = truth.series.keys() - {*SERIES, *OWN}
            row.require(not more, f"nobody knows {more}")
    return row


def _judge(row: Row, facts: dict[str, Any], requests: int) -> None:
    """Require that each request has the spans that it has without us."""
    alone, found = Counter(facts["alone"]), Counter(facts["spans"])
    row.require(len(alone) > 1, f"not traced: {alone}")
    expected = Counter({name: count * requests for name, count in alone.items()})
    expected["request"] += 1
    row.truth, row.got = expected.total(), found.total()
    row.exact()
    more, fewer = dict(found - expected), dict(expected - found)
    row.require(found == expected, f"{more} too many, {fewer} are missing")


def _came(row: Row, got: int, truth: int, what: str) -> None:
    row.require(got == truth, f"{got} of {truth} {what} came")

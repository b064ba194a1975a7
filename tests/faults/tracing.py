"""Tracers and our own integrations do not see the requests that dtmetrics sends.

Each program makes client requests of its own inside a traced request. The spans of the
first traced request, before dtmetrics sends anything, are what each one must have. Then
the program records and repeats its requests: with a flush in the middle of a traced
request, and with requests of a flusher that a traced request has started. No span may be
added, and our integrations must count the program's own requests only.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import SELF_METRICS, Server

ROUNDS = 5

SERIES = "requested", "orders", "http.client.request.duration"

OTEL = """
from importlib.metadata import entry_points
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
for each in entry_points(group="opentelemetry_instrumentor"):
    if each.name in ("httpx", "requests", "sqlite3", "threading", "urllib", "urllib3"):
        each.load()().instrument()

def request():
    return trace.get_tracer("shop").start_as_current_span("request")

def spans():
    found = [span.name for span in exporter.get_finished_spans()]
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

class Collector(Transport):
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
    transport=Collector,
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

class Collector(TraceFilter):
    def process_trace(self, trace):
        found.extend(span.name for span in trace)

tracer.configure(trace_processors=[Collector()])
patch(httplib=True, httpx=True, requests=True, sqlite3=True, urllib3=True, raise_errors=True)

def request():
    return tracer.trace("request")

def spans():
    return list(found)
"""

#: Keeps ddtrace from sending anything of its own.
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

def make_requests():
    line = "requested count,delta=1"
    httpx.post(url, content=line)
    requests.post(url, data=line)
    urllib3.PoolManager().request("POST", url, body=line)  # on a connection of its own
    urllib.request.urlopen(url, line.encode()).close()
    tally[0] += 4
    sqlite3.connect(":memory:").execute("SELECT 1").fetchone()

with request():
    make_requests()
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
            make_requests()
            # The traced request lasts until a request of dtmetrics was answered.
            while not (interval or flush()) or dtmetrics.stats().accepted == answered:
                time.sleep(0.01)
report(ready=True)
next_command()
with request():
    counter("orders").inc()
    tally[1] += 1
    flush(0.5)
report(rejected=True)
next_command()
delivered = deliver()
finish(delivered=delivered, alone=alone, spans=Counter(spans()))
"""


@scenario(
    packages=("opentelemetry-instrumentation-httpx", "opentelemetry-sdk", "requests"),
    fast=True,
)
def traced_by_opentelemetry(run: Run) -> Row:
    """No instrumentation of OpenTelemetry sees a request that dtmetrics sends."""
    return _traced(run, OTEL)


@scenario(packages=("requests", "sentry-sdk"), fast=True)
def traced_by_sentry(run: Run) -> Row:
    """Sentry's transactions contain no request that dtmetrics sends."""
    return _traced(run, SENTRY)


@scenario(packages=("ddtrace", "requests"), fast=True)
def traced_by_ddtrace(run: Run) -> Row:
    """Traces of ddtrace contain no request that dtmetrics sends."""
    return _traced(run, DDTRACE)


def _traced(run: Run, tracer: str) -> Row:
    row = Row()
    rounds = 1 if run.quick else ROUNDS
    with (
        Server() as server,
        run.program(tracer + APPLICATION, server, rounds, **QUIET) as program,
    ):
        if not row.require(program.receive("ready"), f"ended: {program.last_error}"):
            return row
        # A request that fails must not be seen either.
        server.script({"action": "status", "status": 503})
        program.send("go on")
        program.receive("rejected")
        server.script()
        program.send("go on")
        facts = program.receive("stats")
        if row.check_account(program, facts):
            row.require(facts["delivered"], "not delivered")
            _check(row, facts, 1 + 2 * rounds)
            received, tally = server.received(), program.tally()
            _compare(row, received.total("requested"), tally[0], "requests")
            _compare(row, received.total("orders"), tally[1], "orders")
            # By httpx and by requests, in each round but the first.
            measured = received.total("http.client.request.duration")
            _compare(row, measured, 4 * rounds, "measured requests")
            more = received.series.keys() - {*SERIES, *SELF_METRICS}
            row.require(not more, f"unexpected series {more}")
    return row


def _check(row: Row, facts: dict[str, Any], requests: int) -> None:
    """Require that each request has the spans that it has without dtmetrics."""
    alone, found = Counter(facts["alone"]), Counter(facts["spans"])
    row.require(len(alone) > 1, f"not traced: {alone}")
    expected = Counter({name: count * requests for name, count in alone.items()})
    expected["request"] += 1
    row.expected, row.actual = expected.total(), found.total()
    row.require_exact()
    more, fewer = dict(found - expected), dict(expected - found)
    row.require(found == expected, f"{more} too many, {fewer} are missing")


def _compare(row: Row, actual: int, expected: int, what: str) -> None:
    row.require(actual == expected, f"{actual} of {expected} {what} arrived")

"""The endpoint's answers: errors, Retry-After, partial rejections, a portal's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run, scenario
from tests.faults.endpoint import digest
from tests.faults.rig import Received, Server
from tests.faults.steady import steady

ONCE = """
lines, length, rounds = map(int, sys.argv[1:])
configure(interval=None, max_series_per_metric=100_000)
handles = [
    counter("orders").bind(number=f"<{n}>", filling=str(n).rjust(length, "x"))
    for n in range(lines)
]
for _ in range(rounds):
    for handle in handles:
        handle.inc()
    tally[0] += lines
    deliver()
finish()
"""

ROTATED = """
path = sys.argv[1]
os.makedirs(os.path.dirname(path))

def rotate(token):
    with open(path + ".new", "w") as file:
        url = os.environ["WHERE"]
        file.write(f"DT_METRICS_INGEST_URL={url}\\nDT_METRICS_INGEST_API_TOKEN={token}\\n")
    os.rename(path + ".new", path)

rotate("dt0c01.OLD.canary")
configure(interval=10.0)
for minute in range(20):
    counter("orders").inc()
    tally[0] += 1
    if minute == 5:
        rotate("dt0c01.NEW.canary")
    time.sleep(60.0)
finish(delivered=deliver())
"""

# A misconfigured endpoint is tried again after 60, 120 and 240 s: 3 attempts in 200 s.
# A busy endpoint on this host is tried again after at most 10 s: about 40 attempts.
MOST_ATTEMPTS = {401: 4, 403: 4, 404: 4, 503: 70}
LONGEST_PAUSE = 300 * 1.2


@scenario()
def status_for_200_seconds(run: Run) -> Row:
    """200 s each of 401, 403, 404 and 503 lose nothing and take few attempts."""
    seconds = 60 if run.quick else 200
    script = []
    for code in MOST_ATTEMPTS:
        script.append({"action": "status", "status": code, "seconds": seconds})
        # So that the next status is met by a flusher with short pauses.
        script.append({"action": "accept", "times": 3})
    life = len(MOST_ATTEMPTS) * (seconds + LONGEST_PAUSE + 30)
    row, received = steady(run, script, life)
    if received is not None:
        for code, most in MOST_ATTEMPTS.items():
            made = len(received.requests_with(code))
            row.require(made <= most, f"{made} attempts at {code}")
            row.require(made, f"no attempt at {code}")
            row.note(f"{made} attempts in {seconds} s of {code}")
    return row


@scenario()
def retry_after_seconds(run: Run) -> Row:
    """After a 429 with Retry-After: 7 the next attempt comes 7 to 8.5 s later."""
    return _retry_after(run, {"headers": ["Retry-After: 7"]})


@scenario()
def retry_after_date(run: Run) -> Row:
    """After a 429 with a Retry-After date the next attempt comes at that date."""
    return _retry_after(run, {"retry_date": 7})


@scenario()
def rate_limit_reset(run: Run) -> Row:
    """After a 429 with X-RateLimit-Reset the next attempt comes at that moment."""
    return _retry_after(run, {"reset": 7})


@scenario(needs=("root", "unshare", "mount"))
def token_rotated(run: Run) -> Row:
    """A rejected token is read again from its file, and a new one delivers everything."""
    row = Row()
    path = "/var/lib/dynatrace/enrichment/endpoint/endpoint.properties"
    # The operator's file, on a file system that only this program sees.
    shell = 'mount -t tmpfs none /var/lib && exec "$0" "$@"'
    with (
        Server(Origin.now(30)) as server,
        run.program(
            ROTATED,
            server,
            path,
            prefix=("unshare", "-m", "sh", "-c", shell),
            WHERE=server.url,
            DTMETRICS_ENDPOINT="",
        ) as program,
    ):
        server.script({"action": "token", "digest": digest("dt0c01.NEW.canary")})
        facts = program.receive("stats")
        if not row.check_account(program, facts):
            return row
        received = server.received()
        row.expected, row.actual = program.tally()[0], received.total("orders")
        row.require_exact()
        row.require(len(received.tokens) == 2, f"tokens seen: {received.tokens}")
        row.require(received.requests_with(401), "the old token was never rejected")
    return row


@scenario(fast=True)
def lines_rejected_from_1(run: Run) -> Row:
    """When 37 of 1,000 lines are rejected, numbered from 1, the other 963 arrive once."""
    return _partly(run, base=1)


@scenario(fast=True)
def lines_rejected_from_0(run: Run) -> Row:
    """When 37 of 1,000 lines are rejected, numbered from 0, the other 963 arrive once."""
    return _partly(run, base=0)


@scenario(fast=True)
def too_large_above_200_kb(run: Run) -> Row:
    """A 413 above 200 kB halves batches: each line arrives once, in 32 requests at most."""
    row, received, _ = _once(
        run, [{"action": "too_large", "bytes": 200_000}], length=240, rounds=3
    )
    if received is not None:
        row.require_exact()
        row.require(not received.repeated, f"arrived twice: {received.repeated}")
        row.require(received.requests <= 32, f"{received.requests} requests")
        too_large = len(received.requests_with(413))
        # The batch of each round meets the limit: whole, and its halves at most.
        row.require(too_large <= 9, f"413 came {too_large} times in 3 rounds")
        row.require(too_large, "no batch was too large")
    return row


@scenario(fast=True)
def one_poisoned_line(run: Run) -> Row:
    """A 400 for one line of 1,000 costs that line, and at most 32 requests."""
    row, received, stats = _once(run, [{"action": "poison", "marker": "<617>"}])
    if received is not None:
        row.require(row.difference == -1, f"differs by {row.difference}, not by 1")
        row.require(not received.repeated, f"arrived twice: {received.repeated}")
        row.require(received.requests <= 32, f"{received.requests} requests")
        dropped = stats["dropped"]
        row.require(dropped == {"malformed": 1}, f"dropped {dropped}")
    return row


@scenario()
def portal_page(run: Run) -> Row:
    """A login page with status 200 in front of the endpoint loses nothing."""
    page = "<html><body>Please log in</body></html>"
    portal = {"action": "status", "status": 200, "body": page, "seconds": 120}
    row, received = steady(run, [portal], 240)
    if received is not None:
        row.require(received.requests_with(200), "the page was never served")
    return row


@scenario()
def redirected(run: Run) -> Row:
    """Redirects are not followed: nothing reaches their target, and nothing is lost."""
    with Server() as target:
        script = [
            {
                "action": "status",
                "status": code,
                "headers": [f"Location: {target.url}"],
                "seconds": 60,
            }
            for code in (301, 302, 307, 308)
        ]
        row, received = steady(run, script, 360, DTMETRICS_TOKEN="dt0c01.A.canary")
        if received is not None:
            row.require(received.requests_with(301), "nothing was redirected")
            row.require(not target.received().connections, "the target was reached")
    return row


def _retry_after(run: Run, how: dict[str, Any]) -> Row:
    later = {"action": "status", "status": 429, "seconds": 60, **how}
    row, received = steady(run, [later], 80, speed=10)
    if received is None:
        return row
    times = [each["at"] for each in received.journal if each["action"] != "accept"]
    after = [each["at"] for each in received.journal if each["action"] == "accept"][:1]
    gaps = [b - a for a, b in zip(times, [*times[1:], *after], strict=True)]
    # A delay of 0.1 s on this machine is 1 s of the program's clock.
    most = 8.5 + (1 if "retry_date" in how else 0) + 1
    row.require(len(gaps) >= 4, f"only {len(gaps)} attempts in 60 s")
    row.require(min(gaps) >= 6.9, f"tried again after {min(gaps):.2f} s")
    row.require(max(gaps) <= most, f"tried again after {max(gaps):.2f} s")
    row.note(f"{len(gaps)} gaps of {min(gaps):.2f} to {max(gaps):.2f} s")
    return row


def _partly(run: Run, base: int) -> Row:
    step = {"action": "partly", "invalid": 37, "base": base, "seed": run.seed}
    # Only once: the library's metrics about itself follow in a second request.
    row, received, stats = _once(run, [{**step, "times": 1}])
    if received is not None:
        row.require(row.difference == -37, f"differs by {row.difference}, not by 37")
        row.require(stats["rejected"] == 37, f"rejected {stats['rejected']}")
        sent = len([each for each in received.journal if each["lines"] > 100])
        row.require(sent == 1, f"sent {sent} times")
    return row


def _once(
    run: Run, script: Sequence[dict[str, Any]], length: int = 1, rounds: int = 1
) -> tuple[Row, Received | None, dict[str, Any]]:
    """Record 1,000 series and flush, in as many *rounds*."""
    row = Row()
    with (
        Server() as server,
        run.program(ONCE, server, 1000, length, rounds) as program,
    ):
        server.script(*script)
        facts = program.receive("stats")
        if not row.check_account(program, facts):
            return row, None, {}
        received = server.received()
        row.expected, row.actual = program.tally()[0], received.total("orders")
        row.require_balance(received, facts["stats"])
        row.require(not received.unreadable, f"unreadable: {received.unreadable}")
        return row, received, facts["stats"]

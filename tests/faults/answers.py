"""What the endpoint says: later, in part, too large, somebody else's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.clock import Origin
from tests.faults.endpoint import digest
from tests.faults.rig import Server, Truth

STEADY = """
configure(interval=float(sys.argv[1]))
orders, stop = counter("orders"), threading.Event()

def work():
    while not stop.wait(1.0):
        orders.inc()
        tally[0] += 1

thread = threading.Thread(target=work)
thread.start()
time.sleep(float(sys.argv[2]))
stop.set()
thread.join()
tell(over=True)
hear()
finish(delivered=deliver())
"""

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

# It is asked again after 60 and 120 s, and after 240: 3 attempts in 200 s. An endpoint of
# this host that is busy is asked after up to 10 s, by chance: some 40 attempts.
MOST_ATTEMPTS = {401: 4, 403: 4, 404: 4, 503: 70}
LONGEST_PAUSE = 300 * 1.2


@scenario()
def status_for_200_seconds(run: Run) -> Row:
    """200 s each of 401, 403, 404 and 503: nothing lost, few attempts at each."""
    seconds = 60 if run.quick else 200
    script = []
    for code in MOST_ATTEMPTS:
        script.append({"verdict": "status", "status": code, "seconds": seconds})
        # Until it has come back, and begins with short pauses again.
        script.append({"verdict": "accept", "times": 3})
    life = len(MOST_ATTEMPTS) * (seconds + LONGEST_PAUSE + 30)
    row, truth = _steady(run, script, life)
    if truth is not None:
        for code, most in MOST_ATTEMPTS.items():
            made = len(truth.requests_with(code))
            row.require(made <= most, f"{made} attempts at {code}")
            row.require(made, f"no attempt at {code}")
            row.note(f"{made} attempts in {seconds} s of {code}")
    return row


@scenario()
def asked_to_wait_for_seconds(run: Run) -> Row:
    """After a 429 with Retry-After: 7 the next attempt comes 7 to 8.5 s later."""
    return _asked_to_wait(run, {"headers": ["Retry-After: 7"]})


@scenario()
def asked_to_wait_until_a_date(run: Run) -> Row:
    """After a 429 with a date 7 s from now it comes then, whole seconds apart."""
    return _asked_to_wait(run, {"retry_date": 7})


@scenario(needs=("root", "unshare", "mount"))
def token_rotated(run: Run) -> Row:
    """While the token is refused its file is read again: a new one delivers all."""
    row = Row()
    source = """
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
    path = "/var/lib/dynatrace/enrichment/endpoint/endpoint.properties"
    # A file system of its own, where the operator's file is.
    shell = 'mount -t tmpfs none /var/lib && exec "$0" "$@"'
    with (
        Server(Origin.now(30)) as server,
        run.program(
            source,
            server,
            path,
            prefix=("unshare", "-m", "sh", "-c", shell),
            WHERE=server.url,
            DTMETRICS_ENDPOINT="",
        ) as program,
    ):
        server.script({"verdict": "token", "digest": digest("dt0c01.NEW.canary")})
        facts = program.hear("stats")
        if not row.told(program, facts):
            return row
        truth = server.truth()
        row.truth, row.got = program.tally()[0], truth.total("orders")
        row.exact()
        row.require(len(truth.tokens) == 2, f"tokens seen: {truth.tokens}")
        row.require(truth.requests_with(401), "the old token was never refused")
    return row


@scenario(fast=True)
def lines_refused_from_1(run: Run) -> Row:
    """37 of 1,000 lines refused, counted from 1: the others once, and no resend."""
    return _partly(run, base=1)


@scenario(fast=True)
def lines_refused_from_0(run: Run) -> Row:
    """37 of 1,000 lines refused, counted from 0: the others once, and no resend."""
    return _partly(run, base=0)


@scenario(fast=True)
def too_large_above_200_kb(run: Run) -> Row:
    """413 above 200 kB: each line arrives once, in at most 32 requests."""
    row, truth, _ = _once(
        run, [{"verdict": "too_large", "bytes": 200_000}], length=240, rounds=3
    )
    if truth is not None:
        row.exact()
        row.require(not truth.again, f"came twice: {truth.again}")
        row.require(truth.requests <= 32, f"{truth.requests} requests")
        refused = len(truth.requests_with(413))
        # The batch of each round meets the limit: whole, and its halves at most.
        row.require(refused <= 9, f"413 came {refused} times in 3 rounds")
        row.require(refused, "no body was too large")
    return row


@scenario(fast=True)
def one_poisoned_line(run: Run) -> Row:
    """400 without a word for one line of 1,000: 999 once, in at most 32 requests."""
    row, truth, stats = _once(run, [{"verdict": "poison", "marker": "<617>"}])
    if truth is not None:
        row.require(row.difference == -1, f"differs by {row.difference}, not by 1")
        row.require(not truth.again, f"came twice: {truth.again}")
        row.require(truth.requests <= 32, f"{truth.requests} requests")
        dropped = stats["dropped"]
        row.require(dropped == {"malformed": 1}, f"dropped {dropped}")
    return row


@scenario()
def somebody_elses_page(run: Run) -> Row:
    """A portal's 200 is no answer: nothing is lost while it is in the way."""
    page = "<html><body>Please log in</body></html>"
    portal = {"verdict": "status", "status": 200, "body": page, "seconds": 120}
    row, truth = _steady(run, [portal], 240)
    if truth is not None:
        row.require(truth.requests_with(200), "the page was never asked for")
    return row


@scenario()
def redirected(run: Run) -> Row:
    """No redirect is followed: nothing reaches the second sink, nothing is lost."""
    with Server() as sink:
        script = [
            {
                "verdict": "status",
                "status": code,
                "headers": [f"Location: {sink.url}"],
                "seconds": 60,
            }
            for code in (301, 302, 307, 308)
        ]
        row, truth = _steady(run, script, 360, DTMETRICS_TOKEN="dt0c01.A.canary")
        if truth is not None:
            row.require(truth.requests_with(301), "nothing was redirected")
            row.require(not sink.truth().connections, "the second sink was reached")
    return row


def _asked_to_wait(run: Run, how: dict[str, Any]) -> Row:
    later = {"verdict": "status", "status": 429, "seconds": 60, **how}
    row, truth = _steady(run, [later], 80, speed=10)
    if truth is None:
        return row
    times = [each["at"] for each in truth.journal if each["verdict"] != "accept"]
    after = [each["at"] for each in truth.journal if each["verdict"] == "accept"][:1]
    gaps = [b - a for a, b in zip(times, [*times[1:], *after], strict=True)]
    # A tenth of a second of this machine is one of the program's.
    most = 8.5 + (1 if "retry_date" in how else 0) + 1
    row.require(len(gaps) >= 4, f"only {len(gaps)} attempts in 60 s")
    row.require(min(gaps) >= 6.9, f"came after {min(gaps):.2f} s")
    row.require(max(gaps) <= most, f"came after {max(gaps):.2f} s")
    row.note(f"{len(gaps)} gaps of {min(gaps):.2f} to {max(gaps):.2f} s")
    return row


def _steady(
    run: Run,
    script: Sequence[dict[str, Any]],
    seconds: float,
    speed: float = 30,
    **environ: str,
) -> tuple[Row, Truth | None]:
    """Record each second of a life in which the endpoint goes by *script*."""
    row = Row()
    with (
        Server(Origin.now(speed)) as server,
        run.program(STEADY, server, 10.0, seconds, **environ) as program,
    ):
        server.script(*script)
        over = program.hear("over", seconds / speed + 30)
        server.pace(1, program)
        program.say("go on")
        facts = program.hear("stats") if over else {}
        if not row.told(program, facts):
            return row, None
        truth = server.truth()
        row.truth, row.got = program.tally()[0], truth.total("orders")
        row.exact()
        row.balanced(truth, facts["stats"], folded=True)
        row.require(facts["delivered"], "not delivered")
        row.require(not truth.again, f"came twice: {truth.again}")
        return row, truth


def _partly(run: Run, base: int) -> Row:
    refusal = {"verdict": "partly", "invalid": 37, "base": base, "seed": run.seed}
    # Not what the library says of it afterwards.
    row, truth, stats = _once(run, [{**refusal, "times": 1}])
    if truth is not None:
        row.require(row.difference == -37, f"differs by {row.difference}, not by 37")
        row.require(stats["rejected"] == 37, f"rejected {stats['rejected']}")
        sent = len([each for each in truth.journal if each["lines"] > 100])
        row.require(sent == 1, f"sent {sent} times")
    return row


def _once(
    run: Run, script: Sequence[dict[str, Any]], length: int = 1, rounds: int = 1
) -> tuple[Row, Truth | None, dict[str, Any]]:
    """Record 1,000 lines and flush, some *rounds*."""
    row = Row()
    with (
        Server() as server,
        run.program(ONCE, server, 1000, length, rounds) as program,
    ):
        server.script(*script)
        facts = program.hear("stats")
        if not row.told(program, facts):
            return row, None, {}
        truth = server.truth()
        row.truth, row.got = program.tally()[0], truth.total("orders")
        row.balanced(truth, facts["stats"])
        row.require(not truth.unreadable, f"unreadable: {truth.unreadable}")
        return row, truth, facts["stats"]

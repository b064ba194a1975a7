"""The way to the endpoint changes under load: its token, its proxy, its certificates."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.faults.accelerated_clock import Origin
from tests.faults.campaign import Row, Run, scenario
from tests.faults.endpoint import digest
from tests.faults.rig import Program, Server

HOST = "metrics.example"

RECORDING = """
stop = threading.Event()

def record(slot):
    while not stop.is_set():
        counter("orders").inc(thread=slot)
        tally[slot] += 1
        stop.wait(0.0005)

gauge("depth").set(7)
threads = [threading.Thread(target=record, args=(slot,)) for slot in range(3)]
for thread in threads:
    thread.start()

def end():
    stop.set()
    for thread in threads:
        thread.join()
    finish(delivered=deliver(20.0))
"""

ROTATING_FILE = f"""
path = sys.argv[1]
configure(token_file=path, interval=1.0)
{RECORDING}
while token := next_command():
    with open(path + ".new", "w") as file:
        file.write(token + "\\n")
    # Kubernetes replaces a mounted secret by a rename.
    os.rename(path + ".new", path)
    report(delivered=flush(5.0))
end()
"""

ROTATING_CALLABLE = f"""
now = ["dt0c01.FIRST.token"]
calls = []

def token():
    calls.append(threading.current_thread().name)
    if len(calls) % 3 == 0:
        raise OSError("the vault is sealed")
    return now[0]

configure(token=token, interval=1.0)
{RECORDING}
while new := next_command():
    now[0] = new
    report(delivered=deliver(20.0))
end()
"""

STEPS = f"""
configure(token="dt0c01.A.canary", interval=None)
{RECORDING}
while next_command():
    report(delivered=flush(5.0), error=dtmetrics.stats().last_error)
end()
"""

STEADY = """
configure(token="dt0c01.A.canary", interval=10.0)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    counter("orders").inc()
    tally[0] += 1
    time.sleep(1.0)
report(over=True)
next_command()
finish(delivered=deliver(200.0))
"""


@scenario(fast=True)
def token_file_rotated(run: Run) -> Row:
    """Tokens in a file, each revoked before the next is written, lose nothing."""
    with tempfile.TemporaryDirectory() as place, Server() as server:
        path = Path(place, "token")
        path.write_text("dt0c01.FIRST.token")
        with run.program(ROTATING_FILE, server, path) as program:
            return _rotated(program, server, 5 if run.quick else 50)


@scenario(fast=True)
def token_callable_rotated(run: Run) -> Row:
    """Tokens of a function that fails each third time are replaced without a loss."""
    with Server() as server, run.program(ROTATING_CALLABLE, server) as program:
        return _rotated(program, server, 5 if run.quick else 50)


@scenario(fast=True, packages=("trustme",))
def proxy_changes(run: Run) -> Row:
    """A proxy that refuses, fails and returns loses nothing, and is named each time."""
    from tests.support.authority import Authority
    from tests.support.proxy_server import ProxyServer
    from tests.support.tls_front import TlsFront

    row = Row()
    with tempfile.TemporaryDirectory() as place, Server() as server:
        authority = Authority(Path(place))
        with (
            TlsFront(server.port, authority.server(HOST)) as front,
            ProxyServer({f"{HOST}:443": front.port}, credentials="u:pw") as proxy,
            run.program(
                STEPS,
                server,
                DTMETRICS_ENDPOINT=f"https://{HOST}/e/x",
                DTMETRICS_CA_FILE=str(authority.path),
                HTTPS_PROXY=proxy.url,
            ) as program,
        ):
            steps = {
                "up": ("u:pw", ""),
                "status 407": ("u:other", ""),
                "status 502": ("u:pw", "HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n"),
                "RemoteProtocolError": ("u:pw", "\r\n\r\n"),
                "up again": ("u:pw", ""),
            }
            for cause, (credentials, answer) in steps.items():
                # The idle tunnel of the step before would still serve.
                front.drop()
                proxy.credentials, proxy.answer = credentials, answer
                program.send("flush")
                facts = program.receive("error")
                if not row.require(facts, f"no answer at {cause}"):
                    break
                up = cause.startswith("up")
                row.require(facts["delivered"] == up, f"{cause}: {facts}")
                named = f"{cause} at the proxy {proxy.host}: "
                row.require(up or facts["error"].startswith(named), f"{cause}: {facts}")
            program.send()
            return _ended(row, program, server)


@scenario(fast=True, packages=("trustme",))
def authority_replaced(run: Run) -> Row:
    """A new authority, and a new file of it a minute later, lose nothing."""
    from tests.support.authority import Authority
    from tests.support.tls_front import TlsFront

    # At 60 times the speed a request on a busy machine took longer than its deadline,
    # and was sent again.
    speed, seconds = 30, 300 if run.quick else 600
    row = Row()
    with tempfile.TemporaryDirectory() as place, Server(Origin.now(speed)) as server:
        old, new = Authority(Path(place)), Authority(Path(place))
        bundle = Path(place, "bundle.pem")
        bundle.write_bytes(old.path.read_bytes())
        with (
            TlsFront(server.port, old.server()) as front,
            run.program(
                STEADY,
                server,
                seconds,
                DTMETRICS_ENDPOINT=f"https://127.0.0.1:{front.port}/e/x",
                DTMETRICS_CA_FILE=str(bundle),
            ) as program,
        ):
            program.receive("x", seconds / speed / 4)
            before = server.received().total("orders")
            row.require(before, "nothing arrived with the old authority")
            front.context = new.server()
            front.drop()
            program.receive("x", 60 / speed)
            bundle.write_bytes(new.path.read_bytes())
            row.require(program.receive("over"), "the program did not end")
            after = server.received().total("orders")
            row.require(after > before, "nothing arrived with the new authority")
            server.pace(1, program)
            program.send("go on")
            return _ended(row, program, server)


def _rotated(program: Program, server: Server, rounds: int) -> Row:
    row = Row()
    for number in range(rounds):
        token = f"dt0c01.NUMBER{number}.token"
        server.script({"action": "token", "digest": digest(token)})
        program.send(token)
        facts = program.receive("delivered")
        row.require(facts.get("delivered"), f"not delivered after rotation {number}")
    program.send()
    row = _ended(row, program, server)
    received = server.received()
    # The first one may have been replaced before it was used.
    row.require(len(received.tokens) >= rounds, f"{len(received.tokens)} tokens seen")
    row.require(received.lines_of("depth"), "the gauge was forgotten")
    row.note(f"{len(received.requests_with(401))} requests were rejected")
    return row


def _ended(row: Row, program: Program, server: Server) -> Row:
    facts = program.receive("stats")
    if row.check_account(program, facts):
        received = server.received()
        row.expected, row.actual = sum(program.tally()), received.total("orders")
        row.require_exact()
        row.require_balance(received, facts["stats"])
        row.require(facts["delivered"], "not delivered at the end")
        row.require(not received.repeated, f"arrived twice: {received.repeated}")
    return row

"""The token appears in no log, traceback, repr, pickle or file, whatever fails."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.faults.campaign import Row, Run, scenario
from tests.faults.endpoint import digest
from tests.faults.rig import Program, Server

#: The secret part of the token, which occurs in no other text of the scenario.
SECRET = "KANARIENVOGEL2B7E151628AED2A6"
TOKEN = f"dt0c01.PUBLIC.{SECRET}"

CANARY = """
import copy, gc, logging, pickle, traceback

place = sys.argv[1]
logging.basicConfig(filename=place + "/log", level=logging.DEBUG)
for name in (*logging.root.manager.loggerDict, "httpx", "httpcore", "hpack", "dtmetrics"):
    logging.getLogger(name).setLevel(logging.DEBUG)

def read():
    # Keeps the token out of the variables of frames that live on.
    with open(place + "/token") as file:
        return file.read()

def show(error):
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    report(text=[*shown.format(), str(error), repr(error), repr(error.args)])

def wrong(configured):
    try:
        configured()
    except Exception as error:
        show(error)
    else:
        dtmetrics.shutdown()

url = os.environ["DTMETRICS_ENDPOINT"]
wrong(lambda: configure(token=read().strip() + "\\r\\nX: y"))
wrong(lambda: configure(token=read().strip() + "\\x00"))
wrong(lambda: configure(token=read().strip().encode()))
wrong(lambda: configure(token=read(), interval=-1))
wrong(lambda: configure(token=read(), endpoint="http://elsewhere.test/"))
wrong(lambda: configure(endpoint=url + "?api-token=" + read().strip()))
wrong(lambda: configure(endpoint=url.replace("//", "//user:" + read().strip() + "@")))

elsewhere = {"endpoint": "https://elsewhere.test", "interval": None}
wrong(lambda: configure(token='"' + read().strip() + '"', **elsewhere))
wrong(lambda: configure(token_file=place + "/token", key_password=read(), **elsewhere))
wrong(lambda: configure(proxy="http://u:" + read().strip() + "@x/y", **elsewhere))

def fail_at_the_proxy(**token):
    proxy = "http://u:" + read().strip() + "@127.0.0.1:1"
    configure(proxy=proxy, **token, **elsewhere)
    counter("orders").inc()
    flush(1.0)
    report(text=repr(dtmetrics.stats()))

def fail():
    raise ValueError(read())

wrong(lambda: fail_at_the_proxy(token=read()))
wrong(lambda: fail_at_the_proxy(token_file=place + "/token"))
wrong(lambda: fail_at_the_proxy(token=fail))

try:
    configure(token=read(), interval=None, spool=place + "/spool", force=True)
except TypeError:
    configure(token=read(), interval=None, force=True)

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
while patience := next_command():
    counter("orders").inc()
    tally[0] += 1
    if patience == "interrupt":
        signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        flush(1.0)
    except BaseException as error:
        show(error)
    signal.setitimer(signal.ITIMER_REAL, 0)
    report(done=patience, text=repr(dtmetrics.stats()))

for each in gc.get_objects():
    if type(each).__module__.partition(".")[0] != "dtmetrics":
        continue
    for convert in (repr, str, format, pickle.dumps, copy.copy, lambda e: vars(e)):
        try:
            report(text=repr(convert(each)))
        except BaseException as error:
            show(error)
with open("/proc/self/cmdline") as file:
    report(text=[file.read(), *(thread.name for thread in threading.enumerate())])
finish(delivered=deliver(10.0))
"""

FAULTS = (
    *({"action": "status", "status": code} for code in (200, 302, 400, 401, 500, 503)),
    *({"action": "hang_up", "reset": reset} for reset in (False, True)),
    {"action": "hang_up", "unread": True, "reset": True},
    *({"action": "flood", "of": of} for of in ("bomb", "headers", "plain")),
    {"action": "partly", "invalid": 1},
    {"action": "silent"},
    {"action": "silent"},
    {"action": "dribble", "where": "head"},
    {"action": "deaf"},
)


@scenario(fast=True)
def token_is_never_shown(run: Run) -> Row:
    """No log, traceback with locals, repr, pickle or file shows the token in any fault."""
    row = Row(expected=0)
    with tempfile.TemporaryDirectory() as place, Server() as server:
        Path(place, "token").write_text(TOKEN + "\n")
        with run.program(CANARY, server, place) as program:
            reports = _reports(program, server)
            program.wait(20)
        Path(place, "token").unlink()
        texts = {"reports": "\n".join(reports), "stderr": "\n".join(program.err)}
        for path in Path(place).rglob("*"):
            is_file = path.is_file()
            texts[path.name] = path.read_bytes().decode("latin-1") if is_file else ""
        received = server.received()
    row.actual = 0
    for where, text in texts.items():
        for how, pattern in _FORMS.items():
            found = len(re.findall(re.escape(pattern), text, re.IGNORECASE))
            row.actual += found
            row.require(not found, f"{how} {found} times in {where}")
    row.require(received.tokens.keys() == {digest(TOKEN)}, "the token never arrived")
    row.require("receive_response_headers" in texts["log"], "nothing was logged")
    row.require(len(reports) > 50, f"only {len(reports)} reports")
    kilobytes = sum(map(len, texts.values())) // 1024
    row.note(f"searched {kilobytes} KB, {len(reports)} reports")
    return row


def _reports(program: Program, server: Server) -> list[str]:
    """Return all that the program reports while the endpoint shows each fault."""
    reports = []
    for number, fault in enumerate((*FAULTS, None)):
        if fault is None:
            server.command("down")
        else:
            server.script({**fault, "times": 3})
        # In every second fault the program's user interrupts it.
        program.send("interrupt" if number % 2 else "wait")
        facts: dict[str, Any] = {"": ""}
        while facts and "done" not in facts:
            facts = program.receive("text", 30)
            reports.append(json.dumps(facts, ensure_ascii=False))
    server.command("up")
    server.script()
    program.send()
    while facts := program.receive("text", 30):
        reports.append(json.dumps(facts, ensure_ascii=False))
    return reports


def _encoded(offset: int) -> str:
    """Return the part of the secret's base64 that no neighbouring text changes."""
    text = base64.b64encode(b"x" * offset + SECRET.encode()).decode()
    return text[4:-4]


_FORMS = {
    "plain": SECRET,
    "reversed": SECRET[::-1],
    "hex": SECRET.encode().hex(),
    "quoted": "".join(f"%{ord(each):02X}" for each in SECRET),
    "quoted where needed": quote(SECRET),
    **{f"base64 at {n}": _encoded(n) for n in range(3)},
}

"""A token that is nowhere to be seen, whatever goes wrong and whoever looks."""

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
from tests.faults.rig import Server

#: What is looked for is its secret part; it is no word of any other text here.
SECRET = "KANARIENVOGEL2B7E151628AED2A6"
TOKEN = f"dt0c01.PUBLIC.{SECRET}"

CANARY = """
import copy, gc, logging, pickle, traceback

place = sys.argv[1]
logging.basicConfig(filename=place + "/log", level=logging.DEBUG)
for name in (*logging.root.manager.loggerDict, "httpx", "httpcore", "hpack", "dtmetrics"):
    logging.getLogger(name).setLevel(logging.DEBUG)

def read():
    # In no variable of a frame that is still there later.
    with open(place + "/token") as file:
        return file.read()

def said(error):
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    tell(text=[*shown.format(), str(error), repr(error), repr(error.args)])

def wrong(configured):
    try:
        configured()
    except Exception as error:
        said(error)
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

try:
    configure(token=read(), interval=None, spool=place + "/spool", force=True)
except TypeError:
    configure(token=read(), interval=None, force=True)

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
while what := hear():
    counter("orders").inc()
    tally[0] += 1
    if what == "interrupt":
        signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        flush(1.0)
    except BaseException as error:
        said(error)
    signal.setitimer(signal.ITIMER_REAL, 0)
    tell(done=what, text=repr(dtmetrics.stats()))

for each in gc.get_objects():
    if type(each).__module__.partition(".")[0] != "dtmetrics":
        continue
    for show in (repr, str, format, pickle.dumps, copy.copy, lambda e: vars(e)):
        try:
            tell(text=repr(show(each)))
        except BaseException as error:
            said(error)
with open("/proc/self/cmdline") as file:
    tell(text=[file.read(), *(thread.name for thread in threading.enumerate())])
finish(delivered=deliver(10.0))
"""

FAULTS = (
    *({"verdict": "status", "status": code} for code in (200, 302, 400, 401, 500, 503)),
    *({"verdict": "hang_up", "reset": reset} for reset in (False, True)),
    {"verdict": "hang_up", "unread": True, "reset": True},
    *({"verdict": "flood", "of": of} for of in ("bomb", "headers", "plain")),
    {"verdict": "partly", "invalid": 1},
    {"verdict": "silent"},
    {"verdict": "silent"},
    {"verdict": "dribble", "where": "head"},
    {"verdict": "deaf"},
)


@scenario(fast=True)
def token_is_nowhere(run: Run) -> Row:
    """Through every fault no log, traceback with locals, repr, pickle or file shows it."""
    row = Row(truth=0)
    with (
        tempfile.TemporaryDirectory() as place,
        Server() as server,
    ):
        Path(place, "token").write_text(TOKEN + "\n")
        with run.program(CANARY, server, place) as program:
            shown = []
            for number, fault in enumerate((*FAULTS, None)):
                if fault is None:
                    server.ask("down")
                else:
                    server.script({**fault, "times": 3})
                # Every second time the user loses patience with what hangs.
                program.say("interrupt" if number % 2 else "wait")
                facts: dict[str, Any] = {"": ""}
                while facts and "done" not in facts:
                    facts = program.hear("text", 30)
                    shown.append(json.dumps(facts, ensure_ascii=False))
            server.ask("up")
            server.script()
            program.say()
            while facts := program.hear("text", 30):
                shown.append(json.dumps(facts, ensure_ascii=False))
            program.wait(20)
        Path(place, "token").unlink()
        texts = {"what it told": "\n".join(shown), "stderr": "\n".join(program.err)}
        for path in Path(place).rglob("*"):
            texts[path.name] = (
                path.read_bytes().decode("latin-1") if path.is_file() else ""
            )
        row.got = 0
        for where, text in texts.items():
            for how, pattern in _FORMS.items():
                found = len(re.findall(re.escape(pattern), text, re.IGNORECASE))
                row.got += found
                row.require(not found, f"{how} {found} times in {where}")
        seen = server.truth()
        row.require(seen.tokens.keys() == {digest(TOKEN)}, "the token never arrived")
        row.require("receive_response_headers" in texts["log"], "nothing was logged")
        row.require(len(shown) > 50, f"looked at {len(shown)} things only")
        row.note(
            f"looked at {sum(map(len, texts.values())) // 1024} KB of {len(shown)} things"
        )
    return row


def _encoded(offset: int) -> str:
    """Return what base64 makes of the secret wherever it begins in a longer text."""
    text = base64.b64encode(b"x" * offset + SECRET.encode()).decode()
    return text[4:-4]  # what its neighbours have no part in


_FORMS = {
    "plain": SECRET,
    "reversed": SECRET[::-1],
    "hex": SECRET.encode().hex(),
    "quoted": "".join(f"%{ord(each):02X}" for each in SECRET),
    "quoted as it is": quote(SECRET),
    **{f"base64 at {n}": _encoded(n) for n in range(3)},
}

"""Faults inside the flusher: callbacks that raise or block, errors in its thread."""

from __future__ import annotations

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

#: A callback that raises, a callback that blocks, or an error that is thrown into the
#: flusher's thread while it waits. (An error between draining a series and filling the
#: outbox loses values: how far the flusher got is then unknown.)
FAULTY = """
import ctypes
how = sys.argv[1]
calls = 0

def waits_for_the_schedule(frame):
    # Not for the start of a thread: CPython throws the error into the new thread, which
    # dies before it has begun, and Thread.start() never returns. Not for an answer: the
    # outcome of that request is unknown then, and the batch is sent again.
    if frame is None or frame.f_code.co_name != "wait":
        return False
    while frame is not None and frame.f_code.co_name not in ("start", "export"):
        frame = frame.f_back
    return frame is None

@observe("pool.size")
def size():
    global calls
    calls += 1
    if threading.current_thread() is threading.main_thread():
        return 1  # flush() lets the errors of callbacks pass to its caller
    if how == "raises" and calls % 3 == 1:
        raise (MemoryError, SystemExit, KeyboardInterrupt)[calls % 9 // 3]
    if how == "blocks" and calls == 2:
        time.sleep(10.0)
    return 1

configure(interval=0.1)
orders = counter("orders")
end = time.monotonic() + float(sys.argv[2])
hits, gap, since, before = 0, 0.0, time.monotonic(), 0
while (now := time.monotonic()) < end:
    orders.inc()
    tally[0] += 1
    flushes = dtmetrics.stats().flushes
    if flushes != before:
        before, since = flushes, now
    gap = max(gap, now - since)
    if how == "thrown" and hits < 10 * (now - end + float(sys.argv[2])):
        for thread in threading.enumerate():
            if thread.name != "dtmetrics-flusher":
                continue
            if waits_for_the_schedule(sys._current_frames().get(thread.ident)):
                hits += 1
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(MemoryError)
                )
    time.sleep(0.001)
report(gap=gap, hits=hits)
finish(delivered=deliver())
"""


@scenario(fast=True)
def callback_raises(run: Run) -> Row:
    """A callback that raises, even SystemExit, loses its own values and no others."""
    return _disturb(run, "raises")


@scenario()
def callback_blocks(run: Run) -> Row:
    """A callback that blocks for 10 s loses nothing that is recorded meanwhile."""
    return _disturb(run, "blocks", seconds=14, most=12)


@scenario()
def errors_thrown_into_the_flusher(run: Run) -> Row:
    """MemoryErrors in the waiting flusher lose nothing: it restarts within a second."""
    return _disturb(run, "thrown")


def _disturb(run: Run, how: str, seconds: float = 0, most: float = 1.0) -> Row:
    """Disturb the flusher, and require collections at most *most* seconds apart."""
    row = Row()
    seconds = seconds or (1.0 if run.quick else 10)
    with Server() as server, run.program(FAULTY, server, how, seconds) as program:
        facts = program.receive("gap")
        final = program.receive("stats", 90)
        if row.check_account(program, final):
            row.require_delivered(program, server.received(), final)
            gap = facts["gap"]
            row.require(gap < most, f"{gap:.1f} s between two collections")
            row.note(f"{gap:.2f} s between two collections, {facts['hits']} hits")
    return row

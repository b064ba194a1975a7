"""The flusher is hurt: by callbacks, and by errors from outside."""

from __future__ import annotations

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

#: What hits the flusher: a callback that raises, or blocks, or an error that is thrown
#: into its thread where it waits. (What is thrown between a drain and the outbox is
#: lost: nobody can tell how far it came.)
HURT = """
import ctypes
how = sys.argv[1]
asked = 0

@observe("pool.size")
def size():
    global asked
    asked += 1
    if threading.current_thread() is threading.main_thread():
        return 1  # it would be told of what its own callback raises
    if how == "raises" and asked % 3 == 1:
        raise (MemoryError, SystemExit, KeyboardInterrupt)[asked % 9 // 3]
    if how == "blocks" and asked == 2:
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
            if not thread.name.startswith("dtmetrics"):
                continue
            frame = sys._current_frames().get(thread.ident)
            if frame is not None and frame.f_code.co_name == "wait":
                hits += 1
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(MemoryError)
                )
    time.sleep(0.001)
tell(gap=gap, hits=hits)
finish(delivered=deliver())
"""


@scenario(fast=True)
def callback_raises(run: Run) -> Row:
    """A callback that raises, even SystemExit, costs its own values and no other."""
    return _hurt(run, "raises")


@scenario()
def callback_blocks(run: Run) -> Row:
    """A callback that blocks for 10 s costs nothing that is recorded meanwhile."""
    return _hurt(run, "blocks", seconds=14, most=12)


@scenario()
def flusher_is_hit(run: Run) -> Row:
    """MemoryErrors where the flusher waits: it is back in some intervals, all arrives."""
    return _hurt(run, "thrown")


def _hurt(run: Run, how: str, seconds: float = 0, most: float = 1.0) -> Row:
    """Hurt the flusher for some *seconds*, between whose collections *most* may pass."""
    row = Row()
    seconds = seconds or (1.0 if run.quick else 10)
    with Server() as server, run.program(HURT, server, how, seconds) as program:
        facts = program.hear("gap")
        told = program.hear("stats", 90)
        if row.told(program, told):
            row.delivered(program, server.truth(), told)
            row.require(
                facts["gap"] < most, f"nothing collected for {facts['gap']:.1f} s"
            )
            row.note(
                f"at most {facts['gap']:.2f} s between collections, {facts['hits']} hits"
            )
    return row

"""The flusher: when to collect, when to send, when to give up.

Collecting is one thread's turn at a time, and so is sending: the flusher's own, or
the caller's in ``flush()`` and ``close()``. So they work without a thread as well,
and what is recorded is collected in time while a slow endpoint is being waited for.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Event, Lock, Thread, get_ident

from dtmetrics._deliver.clock import Clock, Rhythm
from dtmetrics._deliver.exporter import Body, Exporter
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.losses import Losses
from dtmetrics._deliver.outbox import Account, Outbox
from dtmetrics._deliver.pack import pack, pack_metadata
from dtmetrics._deliver.sender import Sender
from dtmetrics._deliver.spool.spool import Spool
from dtmetrics._deliver.turn import Turn
from dtmetrics._record.guard import attempt
from dtmetrics._record.registry import Registry
from dtmetrics._wire.point import DataPoints

__all__ = ["Flusher"]

# A collector that runs on holds the GIL for 5 ms at a time. Giving it back after each
# chunk of 100 series takes the 99.9th percentile of a request that records, with
# 100,000 series flushed without end, from 5.6 ms to 0.5 ms (CPython 3.11).
_BREATH = 0.0003

# Seconds for sending, at least, however short the interval: who gives up on an answer
# too early sends twice.
_PATIENCE = 15.0

# The clocks of a fleet agree, so all its processes cut at once. Each posts a random
# part of half an interval later, and the other half is left for trying again; of half
# a minute at most, because somebody waits for the numbers.
_SPREAD, _SPREAD_SECONDS = 0.5, 30.0

# How soon a machine that slept is noticed.
_LONGEST_WAIT = 60.0

Chunks = Iterable[DataPoints]


class Flusher:
    """Brings what a registry collects to an exporter, every *interval* seconds.

    With ``interval=None`` there is no thread, and ``flush()`` does it.
    """

    def __init__(
        self,
        registry: Registry,
        exporter: Exporter,
        outbox: Outbox,
        *,
        interval: float | None = 60.0,
        metadata: bool = True,
        longest_pause: float = 60.0,
        losses: Losses | None = None,
        spool: Spool | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        event: Callable[[], Event] = Event,
    ) -> None:
        self._registry = registry
        self._outbox = outbox
        self._feedback = Feedback(registry)
        self._wall = clock or Clock()
        self._clock = self._wall.monotonic
        self._sender = Sender(
            exporter,
            outbox,
            self._wall.now_ms,
            self._clock,
            chance,
            self._feedback.take,
            longest_pause,
            spool,
        )
        self._interval = interval
        self._metadata = metadata
        self._losses = losses
        self._chance = chance
        self._event = event
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self.flushes = 0
        self._thread: Thread | None = None
        self._starting = Lock()
        self._stop = self._event()
        self._collecting = Turn()
        self._sending = Turn()
        self._rhythm: Rhythm | None = None
        self._phase = 0.0
        self._post_at = math.inf

    @property
    def clock_steps(self) -> int:
        """How often the wall clock was seen to jump."""
        return self._wall.steps

    @property
    def last_error(self) -> str:
        """What last went wrong, or nothing."""
        return self._sender.last_error

    @property
    def warnings(self) -> dict[str, str]:
        """What the endpoint remarked on lines that it took, by metric key."""
        return self._feedback.warnings.copy()

    @property
    def busy_here(self) -> bool:
        """Whether the thread that asks is in the middle of a flush.

        It is in a callback or a signal handler then, and must not wait for itself.
        """
        return self._collecting.mine or self._sending.mine

    @property
    def on_disk(self) -> dict[str, int]:
        """What the spool says of itself; nothing if there is none."""
        return self._sender.on_disk

    @property
    def restamped(self) -> int:
        """How many data points were sent with another time than their own."""
        return self._sender.restamped

    def account(self) -> Account:
        """Return what became of all points so far."""
        return self._outbox.account()

    def start(self) -> bool:
        """Start the thread unless it runs; say whether somebody will collect."""
        if self._interval is None or self._thread is not None:
            return True
        # Whoever comes second, a signal handler of the first perhaps, need not wait.
        if not self._starting.acquire(blocking=False):
            return False
        try:
            if self._thread is None:
                thread = Thread(
                    target=self._run,
                    args=(self._interval,),
                    name="dtmetrics-flusher",
                    daemon=True,
                )
                # Refused at interpreter exit, in some subinterpreters and when the
                # system has no thread left: then the next record asks again.
                thread.start()
                self._thread = thread
        except RuntimeError:
            return False
        finally:
            self._starting.release()
        return True

    def flush(self, timeout: float) -> bool:
        """Collect now and send; False if something still waits after *timeout*."""
        timeout = max(0.0, timeout)
        deadline = self._clock() + timeout
        if self.busy_here:
            return False
        return self._collect(timeout, _as_is, self._wall.stamp) and self._send(deadline)

    def close(self, timeout: float) -> bool:
        """Collect and send what is left, end the thread, let go of the exporter.

        The thread does the sending, if there is one: it can be left behind when
        the exporter hangs, or a name server, and the timeout is over.
        """
        timeout = max(0.0, timeout)
        deadline = self._clock() + timeout
        if self.busy_here:
            return False
        collected = self._collect(timeout, _as_is, self._wall.stamp)
        self._sender.give_up_at = deadline
        # Before the last attempt, which may outlast us.
        self._sender.secure()
        self._stop.set()
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._finish()
        elif thread.ident != get_ident():
            thread.join(max(0.0, deadline - self._clock()))
        return collected and len(self._outbox) == 0

    def reset_after_fork(self) -> None:
        """In a forked child: there is no thread, and what waits is the parent's."""
        self._renew()
        self._feedback.reset_after_fork()
        self._sender.reset_after_fork()

    def collect_if_due(self, timeout: float = 0.0) -> float:
        """Collect if that is due; return in how many seconds it is the next time.

        For whoever waits for an answer in the middle of sending, in any thread. With
        another thread's collection in the way it does nothing after *timeout*.
        """
        rhythm = self._rhythm
        if rhythm is None or self._stop.is_set():
            return math.inf
        if rhythm.wait() <= 0:
            self._collect(timeout, self._paced, lambda: self._cut(rhythm))
        return rhythm.wait()

    def _cut(self, rhythm: Rhythm) -> int | None:
        due = rhythm.due
        cut_ms = rhythm.cut()
        # What is to come is not put off: a clock that stands still has cuts due often.
        if cut_ms is not None and not due < self._post_at < math.inf:
            self._post_at = due + self._phase
        return cut_ms

    def _run(self, interval: float) -> None:
        self._rhythm = rhythm = Rhythm(self._wall, interval)
        self._phase = min(interval * _SPREAD, _SPREAD_SECONDS) * self._chance()
        while not self._stop.wait(self._rest(rhythm)):
            try:
                self.collect_if_due(interval)
                if self._clock() >= self._next_sending():
                    self._post_at = math.inf
                    self._send(self._clock() + max(interval, _PATIENCE), hurry=False)
            except BaseException as error:  # noqa: BLE001, PERF203
                # A callback's SystemExit or gevent.Timeout: nobody is above us
                # whom it could reach, and without this thread nothing is sent.
                self._sender.failed(error)
        self._finish()

    def _rest(self, rhythm: Rhythm) -> float:
        sending = self._next_sending() - self._clock()
        return max(0.0, min(rhythm.wait(), sending, _LONGEST_WAIT))

    def _next_sending(self) -> float:
        if not len(self._outbox):
            return math.inf
        return self._sender.retry_at or self._post_at

    def _collect(
        self,
        timeout: float,
        pace: Callable[[Chunks], Chunks],
        stamp: Callable[[], int | None],
    ) -> bool:
        with self._collecting.take(timeout) as mine:
            # Asked when it is our turn: another thread may have made the cut.
            if not mine or (cut_ms := stamp()) is None:
                return mine
            return attempt(
                self._collect_all,
                pace,
                cut_ms,
                default=False,
                on_error=self._sender.failed,
            )

    def _collect_all(self, pace: Callable[[Chunks], Chunks], cut_ms: int) -> bool:
        turn = self._collecting
        for body in self._bodies(pace, cut_ms):
            if turn is not self._collecting:
                return False  # a callback has forked: the points are the parent's
            self._outbox.put(body)
        self.flushes += 1
        return True

    def _bodies(self, pace: Callable[[Chunks], Chunks], cut_ms: int) -> Iterator[Body]:
        yield from pack(self._chunks(pace, cut_ms), cut_ms)
        if self._metadata:
            if self._outbox.metadata_lost:
                self._outbox.metadata_lost = False
                self._registry.families.describe_again()
            # In bodies of their own, so that each answer counts points or none.
            yield from pack_metadata(self._registry.families.collect_metadata(), cut_ms)

    def _chunks(self, pace: Callable[[Chunks], Chunks], cut_ms: int) -> Chunks:
        yield from pace(self._registry.collect(cut_ms))
        if self._losses is not None:
            # Last: collecting refuses values.
            yield self._losses(cut_ms)

    def _paced(self, chunks: Chunks) -> Iterator[DataPoints]:
        for chunk in chunks:
            yield chunk
            if self._stop.is_set():
                return  # a callback hung, and the registry may be another's by now
            time.sleep(_BREATH)

    def _send(self, deadline: float, *, hurry: bool = True) -> bool:
        with self._sending.take(deadline - self._clock()) as mine:
            return mine and self._sender.send(deadline, hurry=hurry)

    def _finish(self) -> None:
        """Send for the last time, and let go of the exporter."""
        deadline = self._sender.give_up_at
        with self._sending.take(deadline - self._clock()) as mine:
            if mine:
                self._sender.send(deadline)
                self._sender.close()


def _as_is(chunks: Chunks) -> Chunks:
    return chunks

"""What waits for long, put together minute by minute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from dtmetrics._deliver.batching import LINES_LIMIT
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._protocol.coalesce import coalesce
from dtmetrics.exporters import Batch

__all__ = ["fold"]

_MINUTE_MS = 60_000

# So many cuts may wait as they are: an endpoint that restarts needs no folding.
_CUTS = 6


def fold(outbox: Outbox, now_ms: int) -> None:
    """Put together what was collected within one minute, if much of it waits.

    Dynatrace keeps one value a minute and series, so nothing is lost by it, and a
    backlog of 10 second intervals takes a sixth of the room. What has been sent
    before, and may have been taken, stays as it is.
    """
    untried = [body for body in outbox.untried() if body.points and not body.weights]
    if len({body.created_ms for body in untried}) <= _CUTS:
        return
    for minute, group in groupby(untried, lambda body: body.created_ms // _MINUTE_MS):
        bodies = list(group)
        cuts = {body.created_ms for body in bodies}
        if minute < now_ms // _MINUTE_MS and len(cuts) > 1:
            outbox.replace(bodies, _folded(bodies))


def _folded(bodies: Sequence[Batch]) -> Iterator[Batch]:
    lines = [line for body in bodies for line in body.text.decode().split("\n")]
    identities = [each for body in bodies for each in body.identities]
    # By the text before the payload and the time: that is what tells series apart. Not
    # by their own, which of another process's lines are no more than the key.
    owners = {_head(line): each for line, each in zip(lines, identities, strict=True)}
    created_ms = max(body.created_ms for body in bodies)
    folded = coalesce(lines)
    for start in range(0, len(folded), LINES_LIMIT):
        part = folded[start : start + LINES_LIMIT]
        body = Batch(
            "\n".join([each.line for each in part]).encode(),
            tuple([owners[_head(each.line)] for each in part]),
            created_ms,
            tuple([each.points for each in part]),
        )
        body.stow()
        yield body


def _head(line: str) -> str:
    return line.rsplit(" ", 2)[0]

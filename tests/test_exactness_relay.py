"""What children have handed over is put once, wherever a signal handler raises."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from dtmetrics._deliver import relay as module
from dtmetrics._deliver.outbox import Outbox
from tests.support.exporter_contract import a_batch
from tests.support.raising_signal import steps_of
from tests.support.relays import child_of, open_relay

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.mark.parametrize("where", ["relay", "outbox"])
def test_interrupted(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection that is interrupted anywhere is completed by the next one."""
    # In a thread that ends: CPython 3.11 keeps an exception that is being handled where
    # the trace function raises another one, as the context of all later ones.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(interrupt_everywhere, where, monkeypatch).result()


def interrupt_everywhere(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt a collection at each point in the module *where*, and complete it."""
    path = str(module.__file__).replace("relay.py", f"{where}.py")
    number, again = 0, True
    while again:
        number += 1
        parent, outbox = open_relay(), Outbox()
        child = child_of(parent, monkeypatch)
        for _ in range(3):
            assert child.take(a_batch(*["orders count,delta=1 5"] * 400))
        again = steps_of(partial(parent.put_in, outbox), number, path)
        parent.put_in(outbox)
        assert outbox.account().waiting == 1_200, number
        parent.release()
        child.release()
    assert number > 10

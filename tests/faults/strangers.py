"""A spool that others get at: swapped for a link, or with things in it that are theirs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server, read_tally
from tests.faults.spool import RECOVERING, Place, store
from tests.support.spool_directory import swapped

_NOBODY = 65534


@scenario(needs=("root",))
def spool_is_swapped(run: Run) -> Row:
    """Swapped for a link all the time, a spool writes nothing into what is linked to."""
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        noticed, found = swapped(place, rounds=300 if run.quick else 5_000)
    row = Row(truth=1, got=len(found))
    row.require(found == ["file"], f"outside are {found}")
    row.require(noticed, "nobody noticed")
    return row


@scenario(needs=("root",))
def strange_files(run: Run) -> Row:
    """Links, pipes and others' files in a spool are not sent, changed or waited for."""
    row = Row()
    with Place() as (place, tally), Server() as server:
        # What must not be sent is as whole as what must; it is of another directory.
        outside = place + "-outside"
        for slot, where in enumerate((place, outside)):
            if not store(row, run, server, where, tally, seconds=1.0, slot=2 * slot):
                return row
        (own,) = Path(place).glob("*/p-*")
        (theirs,) = Path(outside).glob("*/p-*")
        before = _contents(theirs)
        _plant(own, theirs)
        with run.program(RECOVERING, server, place, 3.0) as program:
            facts = program.hear("stats", 90)
            if row.told(program, facts):
                truth, counts = server.truth(), read_tally(tally)
                row.truth, row.got = counts[1], truth.total("orders", "who=0")
                row.require(row.truth <= row.got <= counts[0], "not all arrived")
                sent = truth.total("orders", "who=2")
                row.require(not sent, f"{sent} of others were sent")
                row.require(truth.total("still.there"), "it sent nothing of its own")
                row.require(facts["took"] < 1, f"took {facts['took']:.1f} s to start")
                row.require("Traceback" not in "".join(program.err), program.said)
                row.note(f"counted: {facts['stats']['spool']}")
        row.require(_contents(theirs) == before, "what is outside was changed")
    return row


def _plant(own: Path, theirs: Path) -> None:
    """Put into a spool, beside what is its *own*, what is *theirs* in every disguise."""
    first, second, third, *_ = sorted(theirs.glob("*.b"))
    stamp = first.name.partition("-")[0]

    def name(number: int, ending: str = ".b") -> Path:
        return own / f"{stamp}-{number:032x}{ending}"

    name(1).symlink_to(first)
    name(2).hardlink_to(second)
    os.mkfifo(name(3))
    shutil.copy(third, name(4))
    os.chown(name(4), _NOBODY, _NOBODY)
    name(5).mkdir()
    name(6, ".tmp").symlink_to(first)
    name(7, ".try").symlink_to(first)
    foreign, linked = own.with_name("p-1-foreign"), own.with_name("p-1-linked")
    shutil.copytree(theirs, foreign)
    for path in (foreign, *foreign.iterdir()):
        os.chown(path, _NOBODY, _NOBODY)
    linked.symlink_to(theirs)
    os.mkfifo(own.with_name("p-1-pipe"))
    piped = own.with_name("p-1-piped")
    piped.mkdir(0o700)
    os.mkfifo(piped / "lock")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

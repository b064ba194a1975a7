"""A spool directory that is swapped for a link, or that holds foreign files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server, read_tally
from tests.faults.spool import RECOVERING, Place, store
from tests.support.spool_directory import swapped

#: A user id other than ours.
_OTHER_USER = 65534


@scenario(needs=("root",))
def spool_is_swapped(run: Run) -> Row:
    """A spool that is swapped for a link at any moment writes nothing into its target."""
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        noticed, found = swapped(place, rounds=300 if run.quick else 5_000)
    row = Row(expected=1, actual=len(found))
    row.require(found == ["file"], f"outside are {found}")
    row.require(noticed, "the link was never noticed")
    return row


@scenario(needs=("root",))
def foreign_files_in_a_spool(run: Run) -> Row:
    """Links, pipes and foreign files in a spool are not sent, changed or waited for."""
    row = Row()
    with Place() as (place, tally), Server() as server:
        # The foreign files are valid batches of another spool: only their place is wrong.
        outside = place + "-outside"
        for slot, where in enumerate((place, outside)):
            if not store(row, run, server, where, tally, seconds=1.0, slot=2 * slot):
                return row
        (directory,) = Path(place).glob("*/p-*")
        (foreign,) = Path(outside).glob("*/p-*")
        before = _contents(foreign)
        _plant(directory, foreign)
        with run.program(RECOVERING, server, place, 3.0) as program:
            facts = program.receive("stats", 90)
            if row.check_account(program, facts):
                received, counts = server.received(), read_tally(tally)
                row.expected, row.actual = counts[1], received.total("orders", "who=0")
                row.require(row.expected <= row.actual <= counts[0], "not all arrived")
                sent = received.total("orders", "who=2")
                row.require(not sent, f"{sent} of foreign files were sent")
                row.require(received.total("still.there"), "new records were not sent")
                row.require(facts["took"] < 1, f"took {facts['took']:.1f} s to start")
                row.require("Traceback" not in "".join(program.err), program.last_error)
                row.note(f"counted: {facts['stats']['spool']}")
        row.require(_contents(foreign) == before, "the other spool was changed")
    return row


def _plant(directory: Path, foreign: Path) -> None:
    """Put *foreign* files into a spool *directory*: as links, copies and pipes."""
    first, second, third, *_ = sorted(foreign.glob("*.b"))
    stamp = first.name.partition("-")[0]

    def name(number: int, ending: str = ".b") -> Path:
        return directory / f"{stamp}-{number:032x}{ending}"

    name(1).symlink_to(first)
    name(2).hardlink_to(second)
    os.mkfifo(name(3))
    shutil.copy(third, name(4))
    os.chown(name(4), _OTHER_USER, _OTHER_USER)
    name(5).mkdir()
    name(6, ".tmp").symlink_to(first)
    name(7, ".try").symlink_to(first)
    copied = directory.with_name("p-1-foreign")
    shutil.copytree(foreign, copied)
    for path in (copied, *copied.iterdir()):
        os.chown(path, _OTHER_USER, _OTHER_USER)
    directory.with_name("p-1-linked").symlink_to(foreign)
    os.mkfifo(directory.with_name("p-1-pipe"))
    piped = directory.with_name("p-1-piped")
    piped.mkdir(0o700)
    os.mkfifo(piped / "lock")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

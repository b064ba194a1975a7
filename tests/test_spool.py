from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtmetrics._spool.record import TEXT_LIMIT
from dtmetrics._spool.spool import Spool, SpoolLimits
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT
from tests.support.spool_directory import SpoolDirectory, kill, texts, troubles

if not hasattr(os, "fork"):
    pytest.skip("the spool needs flock()", allow_module_level=True)


@pytest.fixture
def directory(tmp_path: Path) -> SpoolDirectory:
    """Return a directory for spools."""
    return SpoolDirectory(tmp_path)


def lines_of(count: int) -> list[str]:
    """Return *count* lines in alphabetical order."""
    return [f"k{n:04} count,delta=1" for n in range(count)]


def test_default_limits() -> None:
    """By default a process stores 64 MiB, 5,000 files and the last 55 minutes."""
    assert SpoolLimits()[:3] == (64 << 20, 55 * 60, 5_000)


# -- one batch -------------------------------------------------------------------------


def test_recovers(directory: SpoolDirectory) -> None:
    """A batch of a killed process is recovered with its text, time and keys."""
    batch = directory.batch("a,b=c count,delta=1 1700000000000", "d gauge,1")
    directory.dead(batch)
    directory.advance(60)
    ((recovered, indeterminate),) = directory.spool().recover()
    assert (recovered.text, recovered.created_ms) == (batch.text, MOMENT)
    assert [identity.key for identity in recovered.identities] == ["a", "d"]
    assert not indeterminate


def test_deleted(directory: SpoolDirectory) -> None:
    """A deleted batch is not recovered, whether it was indeterminate or not."""
    spool = directory.spool()
    batches = [directory.batch(line) for line in lines_of(3)]
    for batch in batches:
        spool.store(batch)
    spool.begin_attempt(batches[1])
    spool.delete(batches[0])
    spool.delete(batches[1])
    kill(spool)
    assert texts(directory.spool().recover()) == ["k0002 count,delta=1"]


@pytest.mark.parametrize(
    ("calls", "indeterminate"),
    [
        ("store begin_attempt", True),
        ("store begin_attempt undo_attempt", False),
        ("store begin_attempt undo_attempt begin_attempt undo_attempt", False),
        ("store begin_attempt undo_attempt undo_attempt", False),
        ("store undo_attempt", False),
        ("store begin_attempt begin_attempt undo_attempt", True),
        ("store begin_attempt recover begin_attempt undo_attempt", True),
        ("store_indeterminate undo_attempt", True),
        ("store begin_attempt store_indeterminate undo_attempt", True),
    ],
)
def test_marks(directory: SpoolDirectory, calls: str, indeterminate: bool) -> None:
    """A killed process leaves a batch as indeterminate unless each attempt was undone.

    Undoing an attempt does not clear the mark that the batch had before it.
    """
    spool, batch = directory.spool(), directory.batch("a 1")
    for call in calls.split():
        if call == "recover":
            kill(spool)
            spool = directory.spool()
            ((batch, _),) = spool.recover()
        elif call == "store_indeterminate":
            spool.store(batch, indeterminate=True)
        else:
            getattr(spool, call)(batch)
    kill(spool)
    assert texts(directory.spool().recover()) == ["a 1" + "?" * indeterminate]


def test_stored_once(directory: SpoolDirectory) -> None:
    """Storing a batch again has no effect, but an equal batch is a batch of its own."""
    spool = directory.spool()
    batch, twin = directory.batch("a 1"), directory.batch("a 1")
    for _ in range(3):
        spool.store(batch)
    assert directory.suffixes() == ["b"]
    spool.store(twin)
    assert directory.suffixes() == ["b", "b"]
    spool.delete(batch)
    assert directory.suffixes() == ["b"]


def test_metadata(directory: SpoolDirectory) -> None:
    """A batch without data points is not stored: each process sends metadata anew."""
    directory.spool().store(Batch(b"#a count dt.meta.unit=Count", (), MOMENT))
    assert [*directory.root.iterdir()] == []


def test_too_large(directory: SpoolDirectory) -> None:
    """A batch beyond max_bytes or TEXT_LIMIT is counted, and later ones are stored."""
    spool = directory.spool(max_bytes=5_000)
    spool.store(directory.noise(6_000))
    spool.store(a_batch("x" * (TEXT_LIMIT + 1)))
    assert spool.account()["batches"] == 0
    assert troubles(spool) == {"failed: too large": 2}
    spool.store(directory.batch())
    assert spool.account()["batches"] == 1


# -- many ------------------------------------------------------------------------------


def test_oldest_first(directory: SpoolDirectory) -> None:
    """Batches of several dead processes are recovered in the order of creation."""
    lines = lines_of(6)
    batches = []
    for line in lines:
        batches.append(directory.batch(line))
        directory.advance(1)
    directory.dead(*batches[1::2])
    directory.dead(*batches[::2])
    assert texts(directory.spool().recover()) == lines


def test_recovered_once(directory: SpoolDirectory) -> None:
    """A batch is recovered by one process, and by another after that one died."""
    directory.dead(*map(directory.batch, lines_of(3)))
    first, second = directory.spool(), directory.spool()
    recovered = first.recover()
    assert len(recovered) == 3
    assert second.recover() == []
    first.delete(recovered[0][0])
    kill(first)
    directory.advance(300)
    assert len(second.recover()) == 2
    assert (first.account()["recovered"], second.account()["recovered"]) == (0, 2)


def test_recovered_counts_as_stored(directory: SpoolDirectory) -> None:
    """A recovered batch is not stored again, and the last one removes its directory."""
    dead = directory.dead(*map(directory.batch, lines_of(2)))
    spool = directory.spool()
    (one, _), (two, _) = spool.recover()
    spool.store(one)
    assert (spool.account()["batches"], spool.account()["recovered"]) == (2, 2)
    assert directory.directories() == [dead]
    spool.delete(one)
    assert directory.directories() == [dead]
    spool.delete(two)
    assert directory.directories() == []


def test_looks_every_five_minutes(
    directory: SpoolDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is called, recover() lists directories every five minutes."""
    listings: list[object] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listings.append(path) or listdir(path))  # fmt: skip
    spool = directory.spool()
    batch = directory.batch()
    spool.store(batch)
    spool.delete(batch)
    spool.close()
    listings.clear()
    for _ in range(200):
        assert spool.recover() == []
        directory.advance(6)
    # The directory of its endpoint, and the one of all endpoints.
    assert len(listings) == 2 * 1200 / 300


def test_recovered_within_five_minutes(directory: SpoolDirectory) -> None:
    """Batches of a process that dies are recovered by a living one in five minutes."""
    spool = directory.spool()
    spool.store(directory.batch("active 1"))
    assert spool.recover() == []
    directory.dead(directory.batch("a 1"))
    directory.advance(299)
    assert spool.recover() == []
    directory.advance(1)
    assert texts(spool.recover()) == ["a 1"]


def test_one_call_is_bounded(directory: SpoolDirectory) -> None:
    """One call recovers a bounded amount of text, and later calls recover the rest."""
    lines = lines_of(20)  # of 20 bytes each
    directory.dead(*map(directory.batch, lines))
    spool = directory.spool(recover_bytes=100)
    parts = []
    while part := texts(spool.recover()):
        parts.append(part)
    assert [len(part) for part in parts] == [6, 6, 6, 2]
    assert sorted(line for part in parts for line in part) == lines


def test_few_directories_at_a_time(directory: SpoolDirectory) -> None:
    """At most 16 directories of dead processes are open, until all are recovered."""
    lines = lines_of(40)
    for line in lines:
        directory.dead(directory.batch(line))
    before = len(os.listdir("/dev/fd"))
    spool = directory.spool()
    found: list[str] = []
    while part := spool.recover():
        assert len(part) <= 16
        assert len(os.listdir("/dev/fd")) - before <= 32
        assert spool.recover() == []
        found += texts(part)
        for batch, _ in part:
            spool.delete(batch)
    assert sorted(found) == lines
    assert directory.directories() == []
    assert len(os.listdir("/dev/fd")) == before


# -- limits ----------------------------------------------------------------------------


def test_too_many_files(directory: SpoolDirectory) -> None:
    """Beyond max_files the oldest batches are deleted, recovered ones included."""
    directory.dead(directory.batch("k0000 count,delta=1"))
    spool = directory.spool(max_files=3)
    assert len(spool.recover()) == 1
    for line in lines_of(5)[1:]:
        directory.advance(1)
        spool.store(directory.batch(line))
    assert spool.account()["batches"] == 3
    assert troubles(spool) == {"failed: spool full": 2}
    kill(spool)
    assert texts(directory.spool().recover()) == lines_of(5)[2:]


def test_too_many_bytes(directory: SpoolDirectory) -> None:
    """Beyond max_bytes the oldest batches are deleted."""
    spool = directory.spool(max_bytes=20_000)
    batches = []
    for _ in range(5):
        directory.advance(1)
        batches.append(directory.noise(6_000))
        spool.store(batches[-1])
    stored = spool.account()["bytes"]
    assert stored <= 20_000
    assert spool.account()["batches"] == 3
    assert troubles(spool) == {"failed: spool full": 2}
    on_disk = sum(path.stat().st_size for path in directory.root.glob("*/*/*.b"))
    assert stored == on_disk
    kill(spool)
    recovered = [batch.text for batch, _ in directory.spool().recover()]
    assert recovered == [batch.text for batch in batches[2:]]


def test_stored_again_after_deletion(directory: SpoolDirectory) -> None:
    """A batch that was deleted because of the limits can be stored again."""
    spool = directory.spool(max_files=1)
    old = directory.batch("old 1")
    directory.advance(1)
    new = directory.batch("new 1")
    spool.store(old)
    spool.store(new)
    spool.begin_attempt(old)
    spool.delete(new)
    assert directory.suffixes() == []
    spool.store(old)
    assert directory.suffixes() == ["b"]


def test_dead_process_left_too_much(directory: SpoolDirectory) -> None:
    """Points of unread batches beyond the limits are counted as dropped."""
    directory.dead(*[directory.batch(f"a{n} 1", f"b{n} 1") for n in range(5)])
    spool = directory.spool(max_files=3)
    assert len(spool.recover()) == 3
    assert troubles(spool) == {"dropped: spool full": 4}


def test_takes_over_what_fits(directory: SpoolDirectory) -> None:
    """A process at its limit leaves further directories to other processes."""
    for _ in range(5):
        directory.dead(directory.noise(6_000))
    spool = directory.spool(max_bytes=7_000)
    # The second directory exceeds the limit, and the older of the two is deleted.
    assert len(spool.recover()) == 1
    assert troubles(spool) == {"dropped: spool full": 1}
    assert len(directory.directories()) == 4


def test_too_old(directory: SpoolDirectory) -> None:
    """A batch older than max_age is deleted, and its points are counted as dropped."""
    directory.dead(directory.batch("a 1", "b 1"), directory.batch("c 1"))
    directory.advance(55 * 60)
    directory.dead(directory.batch("d 1"))
    directory.advance(1)
    spool = directory.spool()
    assert texts(spool.recover()) == ["d 1"]
    assert troubles(spool) == {"dropped: too old": 3}
    assert directory.suffixes() == ["b"]
    assert len(directory.directories()) == 1


# -- what is left over -----------------------------------------------------------------


def test_close_empty(directory: SpoolDirectory) -> None:
    """Closing a spool without batches removes its directory."""
    spool = directory.spool()
    batch = directory.batch()
    spool.store(batch)
    spool.delete(batch)
    spool.close()
    spool.close()
    assert directory.directories() == []


def test_close_leaves_batches(directory: SpoolDirectory) -> None:
    """Closing leaves stored and recovered batches to other processes at once."""
    directory.dead(*map(directory.batch, lines_of(2)))
    first, second = directory.spool(), directory.spool()
    first.recover()
    first.store(directory.batch("active 1"))
    first.close()
    assert len(second.recover()) == 3
    assert (first.account()["batches"], first.account()["bytes"]) == (0, 0)


def test_works_after_close(directory: SpoolDirectory) -> None:
    """A batch stored after a close goes to a new directory."""
    spool = directory.spool()
    batch = directory.batch("a 1")
    spool.store(batch)
    spool.close()
    spool.store(batch)
    assert len(directory.directories()) == 2


def test_unfinished_directories(directory: SpoolDirectory) -> None:
    """Directories of processes killed while creating them are removed after a minute."""
    directory.dead(directory.batch())
    tenant = directory.directories()[0].parent
    for name, files in {"p-1-a": [], "p-1-b": ["lock"]}.items():
        (tenant / name).mkdir(0o700)
        for file in files:
            (tenant / name / file).touch()
        directory.set_age(tenant / name, 59)
    spool = directory.spool()
    spool.delete(spool.recover()[0][0])
    assert [path.name for path in directory.directories()] == ["p-1-a", "p-1-b"]
    for path in directory.directories():
        directory.set_age(path, 60)
    directory.advance(300)
    assert spool.recover() == []
    assert directory.directories() == []
    assert spool.account() == {"batches": 0, "bytes": 0, "recovered": 1}


def test_corrupt_beyond_the_limits(directory: SpoolDirectory) -> None:
    """A corrupt batch that is deleted for want of room counts no points as dropped."""
    corrupt = directory.dead(directory.batch("a count,delta=1"))
    next(corrupt.glob("*.b")).write_bytes(b"corrupt")
    directory.advance(1)
    directory.dead(directory.batch("b 1"), directory.batch("c 1"))
    spool = directory.spool(max_files=2)
    assert sorted(texts(spool.recover())) == ["b 1", "c 1"]
    assert troubles(spool) == {}


def test_corrupt(directory: SpoolDirectory) -> None:
    """Corrupt files are counted and not recovered, and ten are kept for inspection."""
    dead = directory.dead(*map(directory.batch, lines_of(13)))
    for path in sorted(dead.glob("*.b"))[:12]:
        path.write_bytes(path.read_bytes()[:-1])
    spool = directory.spool()
    ((batch, _),) = spool.recover()
    assert troubles(spool) == {"corrupt": 12}
    assert len([*directory.root.glob("*/*.bad")]) == 10
    spool.delete(batch)
    assert directory.directories() == []
    assert directory.spool().recover() == []


def test_huge_file(directory: SpoolDirectory) -> None:
    """A file larger than any record is deleted without being read."""
    dead = directory.dead(directory.batch())
    os.truncate(next(dead.glob("*.b")), 10 << 30)
    spool = directory.spool()
    assert spool.recover() == []
    assert troubles(spool) == {"corrupt": 1}
    assert directory.directories() == []


FOREIGN_NAMES = st.from_regex(r"[a-z0-9.-]{1,8}(\.b|\.try|\.bad|\.tmp|\.b\.tmp)?", fullmatch=True)  # fmt: skip


@settings(max_examples=50)
@given(
    foreign=st.dictionaries(
        FOREIGN_NAMES | st.just("lock"),
        st.binary(max_size=60) | st.sampled_from(["dir", "fifo", "link", "loop"]),
    ),
    at=st.sampled_from(["root", "tenant", "process"]),
)
def test_foreign_files(tmp_path_factory: pytest.TempPathFactory, foreign: dict[str, bytes | str], at: str) -> None:  # fmt: skip
    """Foreign files anywhere in a spool prevent neither recovery nor storing."""
    directory = SpoolDirectory(tmp_path_factory.mktemp("spool"))
    intact = directory.dead(*map(directory.batch, lines_of(3)))
    spoiled = directory.dead(directory.batch("spoiled 1"))
    parent = {"root": directory.root, "tenant": intact.parent, "process": spoiled}[at]
    for name, content in foreign.items():
        path = parent / name
        if name in (".", "..") or (path.exists() and name != "lock"):
            continue
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "dir":
            path.mkdir()
        elif content == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("nowhere" if content == "link" else path)
    spool = directory.spool()
    found: list[str] = []
    for _ in range(3):
        found += texts(spool.recover())
        directory.advance(300)
    assert sorted(set(found) - {"spoiled 1"}) == lines_of(3)
    assert len(found) == len(set(found)) <= 4
    spool.store(directory.batch())
    assert spool.account()["batches"] == len(found) + 1
    spool.close()


# -- processes beside a model ----------------------------------------------------------


class Processes(RuleBasedStateMachine):
    """Three processes that store, send, die and recover, beside a model of each."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = SpoolDirectory(Path(self.temporary.name))
        self.spools = [self.new() for _ in range(3)]
        #: For each process its batches, by text, each with whether it is indeterminate.
        self.models: list[dict[str, tuple[Batch, bool]]] = [{}, {}, {}]
        self.left: dict[str, bool] = {}
        self.created = 0

    def new(self) -> Spool:
        # No batch becomes too old, although each look advances the clock.
        return self.directory.spool(max_age=1_000_000)

    def teardown(self) -> None:
        for spool in self.spools:
            spool.close()
        self.temporary.cleanup()

    number = st.integers(0, 2)

    @rule(number=number, indeterminate=st.booleans())
    def store(self, number: int, indeterminate: bool) -> None:
        """Store a batch in one process."""
        self.created += 1
        batch = self.directory.batch(f"k{self.created} 1")
        self.spools[number].store(batch, indeterminate=indeterminate)
        model = self.models[number]
        model[batch.text.decode()] = (batch, indeterminate)

    @precondition(lambda self: any(self.models))
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["answered", "retry", "indeterminate", "stored again"]),
    )
    def send(self, data: st.DataObject, outcome: str) -> None:
        """Send a batch of one process."""
        with_batches = [n for n, model in enumerate(self.models) if model]
        number = data.draw(st.sampled_from(with_batches))
        spool, model = self.spools[number], self.models[number]
        text = data.draw(st.sampled_from(sorted(model)))
        batch, marked = model[text]
        spool.begin_attempt(batch)
        model[text] = (batch, True)
        if outcome == "answered":
            spool.delete(batch)
            del model[text]
        elif outcome == "retry":
            spool.undo_attempt(batch)
            model[text] = (batch, marked)
        elif outcome == "stored again":
            spool.store(batch)

    @rule(number=number, end=st.sampled_from([kill, Spool.close]))
    def end(self, number: int, end: object) -> None:
        """Kill one process or close its spool, and start a new one."""
        end(self.spools[number])  # type: ignore[operator]
        model = self.models[number]
        self.left |= {text: marked for text, (_, marked) in model.items()}
        self.models[number] = {}
        self.spools[number] = self.new()

    @rule(number=number)
    def recover(self, number: int) -> None:
        """Recover in one process all that dead ones left, with their marks."""
        self.directory.advance(300)
        found = self.spools[number].recover()
        assert {batch.text.decode(): marked for batch, marked in found} == self.left
        assert len(found) == len(self.left)
        self.models[number] |= {b.text.decode(): (b, m) for b, m in found}
        self.left = {}

    @invariant()
    def equals_the_model(self) -> None:
        """Each spool holds what its model holds, and the disk holds nothing else."""
        for spool, model in zip(self.spools, self.models, strict=True):
            assert spool.account()["batches"] == len(model)
            assert troubles(spool) == {}
        marks = [marked for model in self.models for _, marked in model.values()]
        marks += self.left.values()
        expected = ["try" if marked else "b" for marked in marks]
        assert sorted(self.directory.suffixes()) == sorted(expected)


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=30, stateful_step_count=30)

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtmetrics._spool import recovery as module
from dtmetrics._spool.spool import Spool, SpoolAccount
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_body
from tests.support.recorder import MOMENT
from tests.support.spool_directory import Place, killed, texts

if not hasattr(os, "fork"):
    pytest.skip("no spool here", allow_module_level=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place for spools."""
    return Place(tmp_path)


def names(count: int) -> list[str]:
    """Return so many lines, in order."""
    return [f"k{n:04} count,delta=1" for n in range(count)]


def test_bounds_by_default() -> None:
    """Nobody has to say how much may be kept: 64 MiB, 5,000 files, 55 minutes."""
    given = inspect.signature(Spool).parameters
    bounds = [given[name].default for name in ("max_bytes", "max_files", "max_age")]
    assert bounds == [64 << 20, 5_000, 55 * 60]


# -- one body --------------------------------------------------------------------------


def test_survives(place: Place) -> None:
    """What is kept when a process is killed is adopted by another of its kind."""
    body = place.body("a,b=c count,delta=1 1700000000000", "d gauge,1")
    place.dead(body)
    place.wait(60)
    ((adopted, in_doubt),) = place.spool().adopt()
    assert (adopted.text, adopted.created_ms) == (body.text, MOMENT)
    assert [identity.key for identity in adopted.identities] == ["a", "d"]
    assert not in_doubt


def test_forgotten(place: Place) -> None:
    """What is forgotten is adopted by nobody, in doubt or not."""
    spool = place.spool()
    bodies = [place.body(name) for name in names(3)]
    for body in bodies:
        spool.keep(body)
    spool.trying(bodies[1])
    spool.forget(bodies[0])
    spool.forget(bodies[1])
    killed(spool)
    assert texts(place.spool().adopt()) == ["k0002 count,delta=1"]


def test_in_doubt(place: Place) -> None:
    """Whoever dies between the sending and the answer leaves a body in doubt."""
    spool = place.spool()
    body = place.body("a 1")
    spool.keep(body)
    spool.trying(body)
    killed(spool)
    assert texts(place.spool().adopt()) == ["a 1?"]


def test_back(place: Place) -> None:
    """What was certainly not taken is in doubt no more."""
    spool = place.spool()
    body = place.body("a 1")
    spool.keep(body)
    for _ in range(2):
        spool.trying(body)
        spool.back(body)
    spool.back(body)
    killed(spool)
    assert texts(place.spool().adopt()) == ["a 1"]


def test_doubt_stays(place: Place) -> None:
    """A first attempt in doubt is not made certain by a second that surely failed."""
    spool = place.spool()
    body = place.body("a 1")
    spool.keep(body)
    spool.trying(body)
    spool.trying(body)
    spool.back(body)
    killed(spool)
    spool = place.spool()
    ((body, in_doubt),) = spool.adopt()
    assert in_doubt
    spool.trying(body)
    spool.back(body)
    killed(spool)
    assert texts(place.spool().adopt()) == ["a 1?"]


@pytest.mark.parametrize("stored", [False, True])
def test_kept_in_doubt(place: Place, stored: bool) -> None:
    """A body whose outcome is in doubt already is kept as such, for good."""
    spool = place.spool()
    body = place.body("a 1")
    if stored:
        spool.keep(body)
        spool.trying(body)
    spool.keep(body, in_doubt=True)
    spool.back(body)
    killed(spool)
    assert texts(place.spool().adopt()) == ["a 1?"]


def test_kept_once(place: Place) -> None:
    """A body is stored once, however often it is kept; its twin is another body."""
    spool = place.spool()
    body, twin = place.body("a 1"), place.body("a 1")
    for _ in range(3):
        spool.keep(body)
    assert place.files() == ["b"]
    spool.keep(twin)
    assert place.files() == ["b", "b"]
    spool.forget(body)
    assert place.files() == ["b"]


def test_no_metadata(place: Place) -> None:
    """What holds no data points is not kept: the next process says it anew."""
    place.spool().keep(Batch(b"#a count dt.meta.unit=Count", (), MOMENT))
    assert [*place.root.iterdir()] == []


def test_too_large(place: Place) -> None:
    """A body larger than any that is read again is not kept, and is counted."""
    spool = place.spool(max_bytes=5_000)
    spool.keep(place.noise(6_000))
    spool.keep(a_body("x" * (module.TEXT_LIMIT + 1)))
    assert spool.account().stored == 0
    assert spool.account().failures == {"too large": 2}
    spool.keep(place.body())  # without a pause
    assert spool.account().stored == 1


# -- many ------------------------------------------------------------------------------


def test_oldest_first(place: Place) -> None:
    """Bodies are adopted in the order they were made, from however many processes."""
    lines = names(6)
    bodies = []
    for line in lines:
        bodies.append(place.body(line))
        place.wait(1)
    place.dead(*bodies[1::2])
    place.dead(*bodies[::2])
    assert texts(place.spool().adopt()) == lines


def test_adopted_once(place: Place) -> None:
    """While one process has them, others do not; once it has died, they do."""
    place.dead(*map(place.body, names(3)))
    first, second = place.spool(), place.spool()
    bodies = first.adopt()
    assert len(bodies) == 3
    assert second.adopt() == []
    first.forget(bodies[0][0])
    killed(first)
    place.wait(300)
    assert len(second.adopt()) == 2
    assert (first.account().adopted, second.account().adopted) == (0, 2)


def test_adopted_are_as_kept(place: Place) -> None:
    """Those adopted are not stored again; with the last of them their folder goes."""
    folder = place.dead(*map(place.body, names(2)))
    spool = place.spool()
    (one, _), (two, _) = spool.adopt()
    spool.keep(one)
    assert spool.account()[:3] == (2, spool.account().bytes, 2)
    assert place.folders() == [folder]
    spool.forget(one)
    assert place.folders() == [folder]
    spool.forget(two)
    assert place.folders() == []


def test_looks_seldom(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often asked, it looks at its start and then every five minutes."""
    looks: list[object] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: looks.append(path) or listdir(path))
    spool = place.spool()
    body = place.body()
    spool.keep(body)
    spool.forget(body)
    spool.close()
    looks.clear()
    for _ in range(200):
        assert spool.adopt() == []
        place.wait(6)
    assert len(looks) == 1200 / 300


def test_found_within_six_minutes(place: Place) -> None:
    """Who dies while others live is adopted by one of them within five minutes."""
    spool = place.spool()
    spool.keep(place.body("own 1"))
    assert spool.adopt() == []
    place.dead(place.body("a 1"))
    place.wait(299)
    assert spool.adopt() == []
    place.wait(1)
    assert texts(spool.adopt()) == ["a 1"]


def test_one_call_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large estate one call returns a part; nothing is lost or given twice."""
    monkeypatch.setattr(module, "_ADOPT_BYTES", 100)
    lines = names(20)  # of 20 bytes each
    place.dead(*map(place.body, lines))
    spool = place.spool()
    parts = []
    while part := texts(spool.adopt()):
        parts.append(part)
    assert [len(part) for part in parts] == [6, 6, 6, 2]
    assert sorted(line for part in parts for line in part) == lines


def test_few_folders_at_a_time(place: Place) -> None:
    """Of many dead processes it holds a few; the rest follows as these are done."""
    lines = names(40)
    for line in lines:
        place.dead(place.body(line))
    before = len(os.listdir("/dev/fd"))
    spool = place.spool()
    found: list[str] = []
    while part := spool.adopt():
        assert len(part) <= 16
        assert len(os.listdir("/dev/fd")) - before <= 32
        assert spool.adopt() == []
        found += texts(part)
        for body, _ in part:
            spool.forget(body)
    assert sorted(found) == lines
    assert place.folders() == []
    assert len(os.listdir("/dev/fd")) == before


# -- bounds ----------------------------------------------------------------------------


def test_too_many(place: Place) -> None:
    """Of too many files the oldest go, whoever they are of."""
    place.dead(place.body("k0000 count,delta=1"))
    spool = place.spool(max_files=3)
    assert len(spool.adopt()) == 1
    for name in names(5)[1:]:
        place.wait(1)
        spool.keep(place.body(name))
    assert spool.account().stored == 3
    assert spool.account().failures == {"spool full": 2}
    killed(spool)
    assert texts(place.spool().adopt()) == names(5)[2:]


def test_too_much(place: Place) -> None:
    """So they do of too many bytes."""
    spool = place.spool(max_bytes=20_000)
    bodies = []
    for _ in range(5):
        place.wait(1)
        bodies.append(place.noise(6_000))
        spool.keep(bodies[-1])
    account = spool.account()
    assert account.bytes <= 20_000
    assert account.stored == 3
    assert account.failures == {"spool full": 2}
    on_disk = sum(path.stat().st_size for path in place.root.glob("*/*/*.b"))
    assert account.bytes == on_disk
    killed(spool)
    assert [body.text for body, _ in place.spool().adopt()] == [
        body.text for body in bodies[2:]
    ]


def test_gave_way(place: Place) -> None:
    """A body whose copy gave way is no longer stored: it can be kept again."""
    spool = place.spool(max_files=1)
    old = place.body("old 1")
    place.wait(1)
    new = place.body("new 1")
    spool.keep(old)
    spool.keep(new)
    spool.trying(old)
    spool.forget(new)
    assert place.files() == []
    spool.keep(old)
    assert place.files() == ["b"]


def test_estate_too_large(place: Place) -> None:
    """What nobody has read yet may have to give way as well: its points are lost."""
    place.dead(*[place.body(f"a{n} 1", f"b{n} 1") for n in range(5)])
    spool = place.spool(max_files=3)
    assert len(spool.adopt()) == 3
    assert spool.account().lost == {"spool full": 4}
    assert spool.account().failures == {}


def test_no_more_than_fits(place: Place) -> None:
    """While it holds all it may, it leaves other estates to others."""
    for _ in range(5):
        place.dead(place.noise(6_000))
    spool = place.spool(max_bytes=7_000)
    # The second is too much, and the older one gives way to it.
    assert len(spool.adopt()) == 1
    assert spool.account().lost == {"spool full": 1}
    assert len(place.folders()) == 4


def test_too_old(place: Place) -> None:
    """What nobody would take any more is removed, and its points are counted."""
    place.dead(place.body("a 1", "b 1"), place.body("c 1"))
    place.wait(55 * 60)
    place.dead(place.body("d 1"))
    place.wait(1)
    spool = place.spool()
    assert texts(spool.adopt()) == ["d 1"]
    assert spool.account().lost == {"too old": 3}
    assert place.files() == ["b"]
    assert len(place.folders()) == 1


# -- what is left over -----------------------------------------------------------------


def test_close_empty(place: Place) -> None:
    """Closing with nothing stored leaves nothing."""
    spool = place.spool()
    body = place.body()
    spool.keep(body)
    spool.forget(body)
    spool.close()
    spool.close()
    assert place.folders() == []


def test_close_leaves(place: Place) -> None:
    """Closing leaves what is stored, at once, to whoever adopts; also what it adopted."""
    place.dead(*map(place.body, names(2)))
    first, second = place.spool(), place.spool()
    first.adopt()
    first.keep(place.body("own 1"))
    first.close()
    assert len(second.adopt()) == 3
    assert first.account()[:2] == (0, 0)


def test_works_after_close(place: Place) -> None:
    """What is kept after a close is kept."""
    spool = place.spool()
    body = place.body("a 1")
    spool.keep(body)
    spool.close()
    spool.keep(body)
    assert len(place.folders()) == 2


def test_unfinished_folders(place: Place) -> None:
    """Folders that a process was killed while making are removed after a minute."""
    place.dead(place.body())
    tenant = place.folders()[0].parent
    for name, files in {"p-1-a": [], "p-1-b": ["lock"]}.items():
        (tenant / name).mkdir(0o700)
        for file in files:
            (tenant / name / file).touch()
        place.age(tenant / name, 59)
    spool = place.spool()
    spool.forget(spool.adopt()[0][0])
    assert [path.name for path in place.folders()] == ["p-1-a", "p-1-b"]
    for path in place.folders():
        place.age(path, 60)
    place.wait(300)
    assert spool.adopt() == []
    assert place.folders() == []
    assert spool.account() == SpoolAccount(0, 0, 1, 0, {}, {})


def test_corrupt(place: Place) -> None:
    """Files that are not what was written are set aside, ten at most, and counted."""
    folder = place.dead(*map(place.body, names(13)))
    for path in sorted(folder.glob("*.b"))[:12]:
        path.write_bytes(path.read_bytes()[:-1])
    spool = place.spool()
    ((body, _),) = spool.adopt()
    assert spool.account().corrupt == 12
    assert len([*place.root.glob("*/*.bad")]) == 10
    spool.forget(body)
    assert place.folders() == []
    assert place.spool().adopt() == []


def test_huge_file(place: Place) -> None:
    """A file larger than any of ours is not read, and not set aside but removed."""
    folder = place.dead(place.body())
    os.truncate(next(folder.glob("*.b")), 10 << 30)
    spool = place.spool()
    assert spool.adopt() == []
    assert spool.account().corrupt == 1
    assert place.folders() == []


ODD_NAMES = st.from_regex(r"[a-z0-9.-]{1,8}(\.b|\.try|\.bad|\.tmp|\.b\.tmp)?", fullmatch=True)  # fmt: skip


@settings(max_examples=50)
@given(
    odd=st.dictionaries(
        ODD_NAMES | st.sampled_from(["lock", "plan"]),
        st.binary(max_size=60) | st.sampled_from(["dir", "fifo", "link", "loop"]),
    ),
    at=st.sampled_from(["", "here", "folder"]),
)
def test_odd_files(tmp_path_factory: pytest.TempPathFactory, odd: dict[str, bytes | str], at: str) -> None:  # fmt: skip
    """Whatever else lies in a spool, what is whole is adopted, and the rest breaks nothing."""
    place = Place(tmp_path_factory.mktemp("spool"))
    whole = place.dead(*map(place.body, names(3)))
    spoiled = place.dead(place.body("spoiled 1"))
    target = {"": place.root, "here": whole.parent, "folder": spoiled}[at]
    for name, what in odd.items():
        path = target / name
        if name in (".", "..") or (path.exists() and name != "lock"):
            continue
        path.unlink(missing_ok=True)
        if isinstance(what, bytes):
            path.write_bytes(what)
        elif what == "dir":
            path.mkdir()
        elif what == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to("nowhere" if what == "link" else path)
    spool = place.spool()
    found: list[str] = []
    for _ in range(3):
        found += texts(spool.adopt())
        place.wait(300)
    assert sorted(set(found) - {"spoiled 1"}) == names(3)
    assert len(found) == len(set(found)) <= 4
    spool.keep(place.body())
    assert spool.account().stored == len(found) + 1
    spool.close()


@pytest.mark.parametrize(
    "plan",
    [
        b"",
        b"\n",
        b"a\n\n../../../outside",
        b"../../../outside\n\na",
        b"a\n\n..",
        b"a\n\nb\n\nc",
        b"a\n\nb\x00",
        b"\xff\n\n\xff",
        b"a" * (2 << 20),
    ],
)
def test_foreign_plan(plan: bytes, place: Place) -> None:
    """A plan that is not ours is not carried out, and does not hinder anybody."""
    folder = place.dead(place.body())
    outside = place.root.parent / "outside"
    outside.write_text("not ours")
    (folder / "plan").write_bytes(plan)
    spool = place.spool()
    ((body, _),) = spool.adopt()
    spool.forget(body)
    assert outside.read_text() == "not ours"
    assert place.folders() == []
    assert not spool.account().failures


# -- the whole -------------------------------------------------------------------------


class Lives(RuleBasedStateMachine):
    """Processes that keep, send, are killed and adopt; beside a model of who has what."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.place = Place(Path(self.directory.name))
        self.spools = [self.new() for _ in range(3)]
        #: Of each process its bodies, with the doubt before and within an attempt.
        self.have: list[dict[str, tuple[Batch, bool, bool]]] = [{}, {}, {}]
        self.left: dict[str, bool] = {}
        self.made = 0

    def new(self) -> Spool:
        # Nothing becomes too old: each look takes five minutes here.
        return self.place.spool(max_age=1_000_000)

    def teardown(self) -> None:
        for spool in self.spools:
            spool.close()
        self.directory.cleanup()

    who = st.integers(0, 2)

    @rule(who=who, in_doubt=st.booleans())
    def keep(self, who: int, in_doubt: bool) -> None:
        """Somebody has to keep a body."""
        self.made += 1
        body = self.place.body(f"k{self.made} 1")
        self.spools[who].keep(body, in_doubt=in_doubt)
        self.have[who][body.text.decode()] = (body, in_doubt, in_doubt)

    @precondition(lambda self: any(self.have))
    @rule(
        data=st.data(),
        ends=st.sampled_from(["taken", "not taken", "in doubt", "again"]),
    )
    def send(self, data: st.DataObject, ends: str) -> None:
        """Somebody sends what waits."""
        who = data.draw(st.sampled_from([n for n, has in enumerate(self.have) if has]))
        name = data.draw(st.sampled_from(sorted(self.have[who])))
        body, doubt, _ = self.have[who][name]
        self.spools[who].trying(body)
        self.have[who][name] = (body, True, True)
        if ends == "taken":
            self.spools[who].forget(body)
            del self.have[who][name]
        elif ends == "not taken":
            self.spools[who].back(body)
            self.have[who][name] = (body, doubt, doubt)
        elif ends == "again":
            self.spools[who].keep(body)

    @rule(who=who, in_doubt=st.booleans())
    def put_together(self, who: int, in_doubt: bool) -> None:
        """Somebody puts all that waits into one body."""
        self.made += 1
        body = self.place.body(f"k{self.made} 1")
        gone = [old for old, _, _ in self.have[who].values()]
        self.spools[who].exchange(gone, [(body, in_doubt)])
        self.spools[who].keep(body, in_doubt=in_doubt)
        for old in gone:
            self.spools[who].forget(old)
        self.have[who] = {body.text.decode(): (body, in_doubt, in_doubt)}

    @rule(who=who, how=st.sampled_from([killed, Spool.close]))
    def end(self, who: int, how: object) -> None:
        """Somebody is killed, or leaves in peace; another takes the place."""
        how(self.spools[who])  # type: ignore[operator]
        self.left |= {name: doubt for name, (_, doubt, _) in self.have[who].items()}
        self.have[who] = {}
        self.spools[who] = self.new()

    @rule(who=who)
    def adopt(self, who: int) -> None:
        """Somebody adopts all that the dead have left, each with its doubt."""
        self.place.wait(300)
        found = self.spools[who].adopt()
        assert {body.text.decode(): doubt for body, doubt in found} == self.left
        assert len(found) == len(self.left)
        self.have[who] |= {b.text.decode(): (b, d, d) for b, d in found}
        self.left = {}

    @invariant()
    def adds_up(self) -> None:
        """Each holds what the model says, and there is nothing else on disk."""
        for spool, has in zip(self.spools, self.have, strict=True):
            account = spool.account()
            assert account.stored == len(has)
            assert account.failures == account.lost == {}
        doubts = [doubt for has in self.have for _, doubt, _ in has.values()]
        doubts += self.left.values()
        assert sorted(self.place.files()) == ["b"] * doubts.count(False) + ["try"] * doubts.count(True)  # fmt: skip


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=30, stateful_step_count=30)

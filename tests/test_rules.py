from __future__ import annotations

import re
from collections import Counter as Tally
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._core.level import OFF
from dtmetrics._record.catalog import Catalog
from dtmetrics._record.invalid_values import TOO_MANY_KEYS
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.refusal import MERGED_GAUGES, OTHER_KIND
from dtmetrics._record.rule import Rule
from dtmetrics._record.rules import RULE_FAILED
from tests.support.clocked_recorder import HOUR, Clocked
from tests.support.recorder import Recorder
from tests.support.thread_load import Collector, in_threads

KEYS = ["a", "a.b", "a.b.c", "b.c", "jwt.x.cache.k1.hit", "jwt.y.cache.k2.miss"]
SCOPES = ["", "acme", "acme.db", "web"]
NAMES = ["region", "user.id", "user.name"]
VALUES = ["eu", "us-1", "us-2", "7"]
LEVELS = [10, 20, 30]

Series = tuple[str, frozenset[tuple[str, str]]]

key_patterns = st.sampled_from(["*", "a*", "a.b", "*.c", "a.?", "jwt.*", "none"])
name_patterns = st.lists(st.sampled_from(["user.*", "region", "*"]), max_size=2)
conditions = {
    "key": key_patterns,
    "meter": st.sampled_from(["*", "acme*", "web", ""]).filter(bool),
    "dimensions": st.dictionaries(
        st.sampled_from(NAMES),
        st.sampled_from(["*", "us-*", "7"]),
        min_size=1,
        max_size=2,
    ),
}
actions = {
    "allow": st.just(value=True),
    "level": st.sampled_from([*LEVELS, OFF]),
    "drop_dimensions": name_patterns,
    "keep_dimensions": name_patterns,
    "replace": st.dictionaries(
        st.sampled_from(NAMES),
        st.sampled_from([{"us-*": "us"}, {"eu": "", "*": "other"}, str.upper]),
        max_size=2,
    ),
    "cap": st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=2),
}
renames = st.sampled_from(
    [
        {"key": "a", "rename": "a.b"},
        {"key": "a.*", "rename": "x.*"},
        {"key": "jwt.*.cache.$kid.$outcome", "rename": "jwt.cache"},
        {"key": "jwt.$which.cache.$kid.*", "rename": "jwt.$which"},
        {"key": "*.$last", "rename": "merged"},
    ]
)


@st.composite
def any_rule(draw: st.DrawFn) -> Rule:
    """Return a rule with some conditions and actions."""
    chosen = draw(st.sets(st.sampled_from(list(conditions)), max_size=2))
    rule: Any = {name: draw(conditions[name]) for name in sorted(chosen)}
    kind = draw(st.sampled_from(["deny", "rename", "change"]))
    if kind == "deny":
        return {**rule, "deny": True}  # type: ignore[typeddict-item]
    if kind == "rename":
        rule.update(draw(renames))
    names = draw(st.sets(st.sampled_from(list(actions)), min_size=1, max_size=3))
    return {**rule, **{name: draw(actions[name]) for name in sorted(names)}}  # type: ignore[typeddict-item]


records = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(SCOPES),
        st.sampled_from(LEVELS),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)),
    ),
    max_size=30,
)


class Naive:
    """Applies rules to each record, one by one, in the plainest way."""

    def __init__(self, rules: list[Rule], level: int = 20) -> None:
        self.rules: list[Any] = rules
        self.level = level
        self.seen: dict[tuple[str, str], set[str]] = {}

    def __call__(
        self, key: str, scope: str, level: int, pairs: dict[str, str]
    ) -> Series | None:
        """Return the series that a record counts in; None if it does not."""
        lowest, allowed = self.level, False
        caps: list[tuple[str, int]] = []
        for rule in self.rules:
            if not self._selects(rule, key, scope, pairs):
                continue
            if "deny" in rule and not allowed:
                return None
            allowed = allowed or "allow" in rule
            lowest = rule.get("level", lowest)
            if "rename" in rule:
                key, pairs = self._renamed(rule, key, pairs)
            pairs = self._changed(rule, pairs)
            caps += rule.get("cap", {}).items()
        if not lowest <= level < OFF:
            return None
        for name in {name for name, _ in caps} & pairs.keys():
            most = min(number for capped, number in caps if capped == name)
            seen = self._values(key, name)
            if pairs[name] not in seen and len(seen) >= most:
                pairs = {**pairs, name: "__other__"}
            else:
                seen.add(pairs[name])
        return key, frozenset(pairs.items())

    def _values(self, key: str, name: str) -> set[str]:
        return self.seen.setdefault((key, name), set())

    @staticmethod
    def _selects(rule: Any, key: str, scope: str, pairs: dict[str, str]) -> bool:
        pattern = re.sub(r"\$\w+", "*", rule.get("key", "*"))
        if not fnmatchcase(key, pattern):
            return False
        if "$" in rule.get("key", "") and not _parts(rule["key"], key):
            return False
        return fnmatchcase(scope, rule.get("meter", "*")) and all(
            name in pairs and fnmatchcase(pairs[name], wanted)
            for name, wanted in rule.get("dimensions", {}).items()
        )

    @staticmethod
    def _renamed(
        rule: Any, key: str, pairs: dict[str, str]
    ) -> tuple[str, dict[str, str]]:
        found = _parts(rule["key"], key)
        target: str = rule["rename"]
        stars = [text for name, text in found if name == "*"]
        names = {name[1:]: text for name, text in found if name != "*"}
        for name, text in names.copy().items():
            if f"${name}" in target:
                target = target.replace(f"${name}", text)
                del names[name]
        while "*" in target:
            target = target.replace("*", stars.pop(0), 1)
        return target, {**names, **pairs}

    @staticmethod
    def _changed(rule: Any, pairs: dict[str, str]) -> dict[str, str]:
        kept = {}
        for name, value in pairs.items():
            if any(fnmatchcase(name, each) for each in rule.get("drop_dimensions", ())):
                continue
            if "keep_dimensions" in rule and not any(
                fnmatchcase(name, each) for each in rule["keep_dimensions"]
            ):
                continue
            by = rule.get("replace", {}).get(name)
            text = value
            if callable(by):
                text = by(value)
            elif by:
                matching = [by[each] for each in by if fnmatchcase(value, each)]
                text = matching[0] if matching else value
            if text:
                kept[name] = text
        return kept


def _parts(pattern: str, key: str) -> list[tuple[str, str]]:
    """Return the texts that ``*`` and names in *pattern* stand for, by trying all."""
    head, mark, rest = re.match(
        r"([^*$?]*)(\*|\$\w+|\?)?(.*)", pattern, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    if not key.startswith(head):
        return []
    key = key[len(head) :]
    if mark is None:
        return [] if key else [("end", "")]
    for length in range(len(key), -1, -1):
        text = key[:length]
        if (mark.startswith("$") and (not text or "." in text)) or (
            mark == "?" and length != 1
        ):
            continue
        found = (
            _parts(rest, key[length:]) if rest else [("end", "")] * (length == len(key))
        )
        if found:
            return [(mark, text), *found]
    return []


@given(st.lists(any_rule(), max_size=4), records)
def test_as_a_naive_implementation(
    rules: list[Rule], recorded: list[tuple[str, str, int, dict[str, str]]]
) -> None:
    """Counters have the totals that rules applied to each record would give."""
    recorder, naive = Recorder(rules=rules), Naive(rules)
    expected: Tally[Series] = Tally()
    for key, scope, level, pairs in recorded:
        counter = recorder.meters.get(scope).counter(key, level=level)
        counter.inc(1, **pairs)
        counter.bind(**pairs).inc(2)
        series = naive(key, scope, level, pairs)
        if series is not None:
            expected[series] += 3
    found: Any = recorder.payloads()
    assert {series: delta for series, (delta,) in found.items()} == expected
    assert recorder.registry.invalid_values.total() == {}


def lines(rules: list[Any], **options: Any) -> tuple[Recorder, Any]:
    """Return a recorder with *rules*, and its meter."""
    recorder = Recorder(rules=rules, **options)
    return recorder, recorder.meter


def test_allow() -> None:
    """What a rule allows, later rules do not deny, whatever its dimensions."""
    recorder, meter = lines(
        [
            {"key": "jwt.login.*", "allow": True},
            {"dimensions": {"tenant": "acme"}, "allow": True},
            {"dimensions": {"tenant": "*"}, "deny": True},
            {"key": "jwt.*", "deny": True},
            {"key": "off", "allow": True, "level": "DEBUG"},
        ]
    )
    for key in ("jwt.login.ok", "jwt.other", "calls"):
        meter.counter(key).inc()
        for tenant in ("acme", "other"):
            meter.counter(key).inc(1, tenant=tenant)
    meter.counter("off", level="OFF").inc()
    meter.counter("off", level="DEBUG").inc(1, kind="debug")
    assert recorder.lines() == [
        "calls count,delta=1",
        "calls,tenant=acme count,delta=1",
        "jwt.login.ok count,delta=1",
        "jwt.login.ok,tenant=acme count,delta=1",
        "jwt.login.ok,tenant=other count,delta=1",
        "jwt.other,tenant=acme count,delta=1",
        "off,kind=debug count,delta=1",
    ]


def test_template() -> None:
    """Parts of a key become dimensions, unless the call gives them."""
    recorder, meter = lines(
        [{"key": "jwt.*.cache.$kid.${the.outcome}", "rename": "jwt.cache"}], prefix="p"
    )
    meter.counter("jwt.x.cache.k1.hit").inc()
    meter.counter("jwt.y.cache.k1.hit").inc()
    meter.counter("jwt.y.cache.k1.miss").inc(1, kid="own")
    assert recorder.lines() == [
        "p.jwt.cache,kid=k1,the.outcome=hit count,delta=2",
        "p.jwt.cache,kid=own,the.outcome=miss count,delta=1",
    ]


def test_gauges_that_are_merged() -> None:
    """Of gauges that a rule merges the first stays, and the others are counted."""
    recorder, meter = lines(
        [{"drop_dimensions": ["user"]}, {"key": "b", "rename": "a"}]
    )
    depth = meter.gauge("a")
    depth.set(1, user=1)
    depth.set(2, user=2)
    depth.set(3, user=1)
    meter.gauge("b").set(4)
    meter.gauge("b").set(5)
    assert recorder.lines() == ["a gauge,3"]
    assert recorder.registry.invalid_values.total() == {MERGED_GAUGES.reason: 3}
    depth.remove(user=1)
    meter.gauge("b").bind(x="").set(6)
    assert recorder.lines() == ["a gauge,6"]


def test_observed_gauges_that_are_merged() -> None:
    """The same holds for gauges that are observed."""
    recorder, meter = lines([{"drop_dimensions": ["user"]}])
    meter.observe("a")(lambda: [(1, {"user": 1}), (2, {"user": 2})])
    meter.observe("c", kind="counter")(lambda: [(n[0], {"u": 1}), (n[0], {"u": 2})])
    n = [1]
    assert recorder.lines() == ["a gauge,1"]
    n[0] = 3
    assert recorder.lines() == [
        "a gauge,1",
        "c,u=1 count,delta=2",
        "c,u=2 count,delta=2",
    ]
    assert recorder.registry.invalid_values.total() == {MERGED_GAUGES.reason: 2}


def test_observed_counters_that_are_merged() -> None:
    """Running totals that a rule merges add up."""
    recorder, meter = lines(
        [{"drop_dimensions": ["user"]}, {"key": "off", "deny": True}]
    )
    total = [0, 0]
    meter.observe("c", kind="counter")(
        lambda: [(total[0], {"user": 1}), (total[1], {"user": 2})]
    )
    meter.observe("off")(lambda: 1)
    recorder.lines()
    total[:] = 2, 5
    assert recorder.lines() == ["c count,delta=7"]


def test_replaced_by_patterns() -> None:
    """The first pattern that matches a value replaces it; others stay."""
    recorder, meter = lines([{"replace": {"a": {"us-*": "us", "*-1": "one"}}}])
    for value in ("us-1", "eu-1", "eu-2"):
        meter.counter("c").inc(1, a=value)
    assert recorder.lines() == [
        f"c,a={value} count,delta=1" for value in ("eu-2", "one", "us")
    ]


def test_denied_by_dimension() -> None:
    """A rule that denies one series leaves the others, of whichever instrument."""
    recorder, meter = lines(
        [
            {"dimensions": {"user": "*"}, "drop_dimensions": ["x"]},
            {"dimensions": {"user": "2"}, "deny": True},
        ]
    )
    meter.observe("seen")(lambda: [(1, {"user": 1}), (2, {"user": 2})])
    depth = meter.gauge("depth")
    for user in (1, 2):
        depth.set(user, user=user)
        depth.remove(user=user)
        meter.counter("calls").inc(1, user=user, x=3)
    assert recorder.lines() == ["calls,user=1 count,delta=1", "seen,user=1 gauge,1"]


def test_changed_by_dimension() -> None:
    """A rule that changes some series leaves the decision about them to others."""
    recorder, meter = lines(
        [
            {"dimensions": {"user": "*"}, "drop_dimensions": ["x"]},
            {"key": "off", "deny": True},
        ]
    )
    for key in ("on", "off"):
        meter.counter(key).inc(1, user=1, x=3)
    assert recorder.lines() == ["on,user=1 count,delta=1"]


def test_another_kind() -> None:
    """A value that would have the key of another kind is counted as invalid."""
    recorder, meter = lines([{"key": "a", "rename": "b"}])
    meter.summary("b").record(1)
    meter.counter("a").inc()
    meter.observe("a", kind="counter")(lambda: 1)
    assert recorder.lines() == ["b gauge,min=1,max=1,sum=1,count=1"]
    assert recorder.registry.invalid_values.total() == {OTHER_KIND.reason: 1}


def test_no_room_for_another_key() -> None:
    """A key that has no room after it is renamed is counted as a new one."""
    recorder, meter = lines(
        [{"key": "a", "rename": "b"}, {"key": "c", "rename": "d"}], max_series=1
    )
    meter.counter("a").inc()
    meter.counter("c").inc()
    assert recorder.lines() == ["b count,delta=1"]
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: 1}


def test_no_room_for_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that would be one more than a process may define is counted as well."""
    recorder, meter = lines([{"key": "a", "rename": "b"}])
    counter = meter.counter("a")
    monkeypatch.setattr(Catalog, "_most_families", 1)
    counter.inc()
    assert recorder.lines() == []
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: 1}


def test_overflow_of_gauges() -> None:
    """Gauges beyond a limit share its series, with rules as without."""
    recorder, meter = lines([{"drop_dimensions": ["x"]}], max_series_per_metric=2)
    for n in range(4):
        meter.gauge("depth").set(n, n=n)
    assert recorder.lines() == [
        "depth,dtmetrics.overflow=true gauge,3",
        "depth,n=0 gauge,0",
        "depth,n=1 gauge,1",
    ]


def test_quarantine_of_another_key() -> None:
    """A quarantine of the key that is sent ends what is renamed to it."""
    recorder, meter = lines([{"key": "a", "rename": "b"}])
    counter = meter.counter("a", unit="s", description="d")
    counter.inc()
    [metadata] = recorder.registry.catalog.collect_metadata()
    assert (metadata.key, metadata.unit) == ("b", "s")
    recorder.registry.quarantine("b", "rejected")
    counter.inc()
    assert recorder.lines() == []


def test_dimensions_that_stay() -> None:
    """What configure(), the platform and dtmetrics add stays beside those to keep."""
    recorder, meter = lines(
        [{"keep_dimensions": ["region"]}],
        dimensions={"service": "shop"},
        enrichment={"dt.entity.host": "H"},
    )
    meter.counter("c").inc(1, region="eu", user=7, **{"dtmetrics.worker": "1"})
    assert recorder.lines() == [
        "c,dt.entity.host=H,dtmetrics.worker=1,region=eu,service=shop count,delta=1"
    ]


def test_functions_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """A function that raises, or returns no text, leaves the dimension out."""

    def fail(value: str) -> str:
        raise KeyError(value)

    recorder, meter = lines(
        [{"replace": {"a": fail, "b": lambda _: None, "c": lambda _: str, "d": len}}]
    )
    meter.counter("c").inc(1, a="secret", b=1, c=1, d="four")
    assert recorder.lines() == ["c,d=4 count,delta=1"]
    assert recorder.registry.invalid_values.total() == {RULE_FAILED: 1}
    assert "KeyError at test_rules.py" in caplog.text
    assert "secret" not in caplog.text


def test_level_by_dimension() -> None:
    """A rule may record one tenant in more detail than the others."""
    recorder, meter = lines([{"dimensions": {"tenant": "acme"}, "level": "DEBUG"}])
    details = meter.counter("details", level="DEBUG")
    for tenant in ("acme", "other"):
        details.inc(1, tenant=tenant)
        meter.counter("calls").inc(1, tenant=tenant)
        meter.gauge("depth", level="DEBUG").set(1, tenant=tenant)
    before = [
        "calls,tenant=acme count,delta=1",
        "calls,tenant=other count,delta=1",
        "depth,tenant=acme gauge,1",
        "details,tenant=acme count,delta=1",
    ]
    assert recorder.lines() == before
    meter.set_level("DEBUG")
    meter.gauge("depth", level="DEBUG").set(2, tenant="other")
    assert recorder.lines() == [
        "depth,tenant=acme gauge,1",
        "depth,tenant=other gauge,2",
    ]
    meter.set_level("INFO")
    assert recorder.lines() == ["depth,tenant=acme gauge,1"]
    details.inc(1, tenant="acme")
    assert "details,tenant=acme count,delta=1" in recorder.lines()


def test_more_dimensions_than_a_line_has() -> None:
    """Dimensions of a template beyond the limit are left out, and counted."""
    recorder, meter = lines([{"key": "a.$kid", "rename": "a"}])
    meter.counter("a.x").inc(1, **{f"d{n:02}": n for n in range(50)})
    [line] = recorder.lines()
    assert line.count("=") == 50 + 1
    assert recorder.registry.invalid_values.total() == {"more than 50 dimensions": 1}


def test_restart_with_other_rules(recorder: Recorder) -> None:
    """Gauges keep their value when rules change, with the dimensions they were set with."""
    depth = recorder.meter.gauge("depth")
    depth.set(3, user="7", region="eu")
    rules: list[Rule] = [{"drop_dimensions": ["user"]}]
    for changed in (rules, [*rules, {"key": "depth", "rename": "size"}], []):
        recorder.registry.restart(RecordingOptions(rules=changed))
        [line] = recorder.lines()
        name = "size" if len(changed) > 1 else "depth"
        rest = "" if changed else ",user=7"
        assert line == f"{name},region=eu{rest} gauge,3"


def test_fork(recorder: Recorder) -> None:
    """A forked child goes on with the values that a cap has seen."""
    recorder.registry.restart(RecordingOptions(rules=[{"cap": {"user": 1}}]))
    recorder.meter.counter("c").inc(1, user=1)
    recorder.registry.reset_after_fork()
    for user in (1, 2, 3):
        recorder.meter.counter("c").inc(1, user=user)
    assert recorder.lines() == [
        "c,user=1 count,delta=1",
        "c,user=__other__ count,delta=2",
    ]


def test_auto(caplog: pytest.LogCaptureFixture) -> None:
    """Near the limit of a key only the dimension that grows is folded."""
    recorder, meter = lines(
        [{"cap": "auto"}], max_series_per_metric=100, max_series=1_000
    )
    counter, depth = meter.counter("calls"), meter.gauge("depth")
    for user in range(300):
        for region in ("eu", "us"):
            counter.inc(1, user=user, region=region)
        if user < 50:
            depth.set(user, user=user)
    found: Any = recorder.payloads()
    calls = {
        (dict(pairs)["region"], dict(pairs)["user"]): payload.delta
        for (key, pairs), payload in found.items()
        if key == "calls"
    }
    assert len(calls) == 92
    assert calls["eu", "__other__"] == calls["us", "__other__"] == 255
    assert sum(calls.values()) == 600
    assert sum(key == "depth" for key, _ in found) == 50
    assert (
        "has many series; cap='auto' has ended the dimension user after 45"
        in caplog.text
    )
    assert "user after 45 values" in recorder.registry.capped()["calls"]


def test_auto_of_several_dimensions() -> None:
    """Each dimension that grows on is folded; without any that has, there is the limit."""
    recorder, meter = lines(
        [{"cap": "auto"}], max_series_per_metric=40, max_series=1_000
    )
    for n in range(100):
        meter.counter("one").inc(1, a=n)
        meter.counter("two").inc(1, a=n)
        meter.counter("two").inc(1, b=n)
        for name in "abcdef":
            meter.counter("many").inc(1, **{name: n})
    for n in range(30):  # values that are known make new series, up to the limit
        meter.counter("two").inc(1, a=n, b=n % 3)
    totals: Tally[str] = Tally()
    number: Tally[str] = Tally()
    found: Any = recorder.payloads()
    for (key, _), payload in found.items():
        totals[key] += payload.delta
        number[key] += 1
    assert totals == {"one": 100, "two": 230, "many": 600}
    assert max(number.values()) <= 41
    overflow = frozenset({("dtmetrics.overflow", "true")})
    assert {key for key, pairs in found if pairs == overflow} == {"two", "many"}


def test_totals_under_load(recorder: Recorder) -> None:
    """Threads that record while rules change lose nothing, under whatever key."""
    ended = [0]
    rules: list[list[Rule]] = [
        [],
        [{"key": "c", "rename": "d"}],
        [{"cap": {"user": 3}}, {"key": "c", "drop_dimensions": ["region"]}],
        [{"key": "c.$part", "rename": "c"}],
    ]

    def work(number: int) -> None:
        for n in range(2_000):
            recorder.meter.counter("c").inc(1, user=n % 9, region=number)
            recorder.meter.counter("c.part").inc()
        ended[0] += 1

    def change() -> None:
        place = 0
        while ended[0] < 3:
            place += 1
            options = RecordingOptions(rules=rules[place % len(rules)])
            recorder.registry.restart(options)

    with Collector(recorder) as collector:
        in_threads(4, lambda number: work(number) if number else change())
    assert sum(collector.totals.values()) == 3 * 2_000 * 2


@pytest.mark.parametrize("cap", [{"user": 2}, "auto"])
def test_values_that_are_forgotten(cap: Any) -> None:
    """A value whose series are forgotten leaves its place to another one."""
    recorder = Clocked(
        rules=[{"cap": cap}], max_series_per_metric=10 if cap == "auto" else 20
    )
    counter = recorder.meter.counter("calls")
    users = 9 if cap == "auto" else 2
    for user in range(20):
        counter.inc(1, user=user)
    assert f"calls,user=__other__ count,delta={20 - users}" in recorder.lines()
    for _ in range(3):
        recorder.now += HOUR / 2
        counter.inc(1, user=19)
        recorder.lines()
    for user in (18, 19):
        counter.inc(1, user=user)
    assert recorder.lines() == [
        "calls,user=18 count,delta=1",
        "calls,user=19 count,delta=1",
    ]
    assert recorder.registry.capped() == {}

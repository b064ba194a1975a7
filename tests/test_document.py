"""Settings from documents: what they may hold, and how their problems are reported."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics._config.config import Config
from dtmetrics._config.document import Document, document_of, parse
from dtmetrics._config.settings import SETTINGS
from dtmetrics._core.secret import SECRET_SETTINGS, Secret, hide_secrets
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.errors import ConfigError
from tests.support.strategies import texts

TOKEN = "dt0c01.CANARY.secret"
SAAS = "https://abc12345.live.dynatrace.com"

#: A value of each setting that a document can hold and that names no file.
VALUES: dict[str, Any] = {
    "endpoint": SAAS,
    "token": TOKEN,
    "exporters": ["dynatrace"],
    "prefix": "shop",
    "dimensions": {"service.name": "shop", "shard": 1},
    "interval": 10,
    "level": "WARNING",
    "levels": {"shop.db": "DEBUG", "shop": 30},
    "rules": [{"key": "jwt.*", "deny": True}, {"key": "a", "cap": {"b": 1}}],
    "cap": "auto",
    "max_series_per_metric": 10,
    "budget": 1_000,
    "max_series": 20,
    "max_outbox_bytes": 30,
    "delivery": "at_most_once",
    "compression": "gzip",
    "process_dimension": True,
    "worker_dimension": False,
    "spool": "/tmp/spool",
    "metadata": False,
    "self_metrics": False,
    "announce": False,
    "enrich": False,
    "allow_plain_http": True,
    "proxy": "http://user:CANARY@proxy.example:3128",
    "strict": True,
    "flush_at_os_exit": False,
    "runtime": ["cpu", "gc"],
    "travels": False,
}
FILES = {"token_file", "ca_file", "client_cert", "client_key", "key_password"}


def resolve(
    document: Document, environ: dict[str, str] | None = None, **arguments: Any
) -> Config:
    """Return the settings of *document*, between the others."""
    return Config.resolve(hide_secrets(arguments), environ or {}, document=document)


def table(settings: Any, *, wins: bool = True) -> Document:
    """Return the document in a mapping."""
    return document_of(Secret(settings), wins=wins)


def text(
    source: str | bytes, name: str = "shop.toml", *, wins: bool = True
) -> Document:
    """Return the document in the text of a file of this *name*."""
    content = source if isinstance(source, bytes) else source.encode()
    return parse(Secret(content), name, wins=wins)


def problems(document: Document, **arguments: Any) -> list[str]:
    """Return the problems of *document*; none shows a secret."""
    with pytest.raises(ConfigError) as caught:
        resolve(document, **arguments)
    assert "CANARY" not in str(caught.value)
    return list(caught.value.problems)


def as_toml(settings: dict[str, Any]) -> str:
    """Return *settings* in TOML."""
    return "\n".join(f"{name} = {in_toml(value)}" for name, value in settings.items())


def in_toml(value: Any) -> str:
    """Return one value in TOML."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {in_toml(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(in_toml, value))}]"
    return json.dumps(value)


def shown(config: Config) -> dict[str, Any]:
    """Return the settings in *config*, with secrets as they are."""
    values = {name: getattr(config, name) for name in SETTINGS}
    return {k: v.reveal() if isinstance(v, Secret) else v for k, v in values.items()}


# -- what a document may hold ----------------------------------------------------------


def test_every_setting() -> None:
    """Each setting but the exporter, which is an object, may be in a document."""
    assert VALUES.keys() | FILES | {"exporter"} >= SETTINGS.keys()
    arguments = {name: value for name, value in VALUES.items() if name != "exporters"}
    expected = {**shown(resolve(Document(), **arguments)), "exporters": (None,)}
    for document in (
        table(VALUES),
        text(as_toml(VALUES)),
        text(json.dumps(VALUES), "shop.json"),
        text("[tool.other]\n[tool.dtmetrics]\n" + as_toml(VALUES), "pyproject.toml"),
    ):
        assert shown(resolve(document)) == expected


def test_files_that_settings_name(tmp_path: Path, certificate: Path) -> None:
    """A setting that names a file is a path, as it is in a variable."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    settings = {
        "endpoint": SAAS,
        "token_file": str(token),
        "ca_file": str(certificate),
        "client_cert": str(certificate),
        "client_key": str(certificate),
        "key_password": "CANARY",
    }
    found = resolve(text(as_toml(settings)))
    assert found.token_file == str(token)
    assert found.ca_file == found.client_cert == found.client_key == str(certificate)
    assert found.key_password
    assert found.key_password.reveal() == "CANARY"


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        ("console", [ConsoleExporter]),
        (["console"], [ConsoleExporter]),
        (["dynatrace", "console"], [type(None), ConsoleExporter]),
        ("dynatrace,console", [type(None), ConsoleExporter]),
    ],
)
def test_exporters_by_name(names: Any, kinds: list[type]) -> None:
    """Exporters are named by a text, as in the variable, or by a list."""
    found = resolve(table({"exporters": names, "endpoint": "http://localhost:9"}))
    assert [type(each) for each in found.exporters] == kinds


def test_not_set() -> None:
    """None counts as not set, but for the interval, for which it means no thread."""
    nulls = dict.fromkeys(SETTINGS)
    for document in table(nulls), text(json.dumps(nulls), "a.json"):
        assert shown(resolve(document)) == {**shown(Config()), "interval": None}


def test_empty() -> None:
    """A document without settings is valid."""
    for document in table({}), text(""), text("# none\n"), text("{}", "a.json"):
        assert resolve(document) == Config()


def test_line_ends_and_byte_order_mark() -> None:
    """A file may begin with a byte order mark, and end its lines by CRLF."""
    document = text(b'\xef\xbb\xbfprefix = "a"\r\nlevel = "DEBUG"\r\n')
    assert (resolve(document).prefix, resolve(document).level) == ("a", logging.DEBUG)
    document = text(b'\xef\xbb\xbf{"prefix": "a"}\r\n', "a.JSON")
    assert resolve(document).prefix == "a"


# -- precedence ------------------------------------------------------------------------


def test_precedence() -> None:
    """An argument wins over a variable, that over the document, that over the default."""
    document = table({"prefix": "doc", "level": 10, "interval": 1}, wins=False)
    environ = {"DTMETRICS_LEVEL": "20", "DTMETRICS_INTERVAL": "2"}
    found = resolve(document, environ, interval=3)
    assert (found.prefix, found.level, found.interval) == ("doc", 20, 3.0)


def test_precedence_as_arguments() -> None:
    """A document that stands for the arguments wins over variables."""
    document = table({"level": 10})
    found = resolve(document, {"DTMETRICS_LEVEL": "20", "DTMETRICS_PREFIX": "env"})
    assert (found.level, found.prefix) == (10, "env")


def test_merged_by_key() -> None:
    """Dimensions and levels of document, environment and program are one mapping."""
    settings = {"dimensions": {"a": 1, "b": 1, "c": 1}, "levels": {"x": 10, "y": 10}}
    environ = {"DTMETRICS_DIMENSIONS": "b=2,c=2", "DTMETRICS_LEVELS": "y=20,z=20"}
    found = resolve(table(settings, wins=False), environ, dimensions={"c": 3})
    assert found.dimensions == {"a": 1, "b": "2", "c": 3}
    assert found.levels == {"x": 10, "y": 20, "z": 20}
    found = resolve(table(settings), environ)
    assert found.dimensions == {"a": 1, "b": 1, "c": 1}
    assert found.levels == {"x": 10, "y": 10, "z": 20}


def test_rules() -> None:
    """Rules of the program come before those of the environment, and both before a document's."""
    rules: dict[str, Any] = {
        name: {"key": name, "deny": True} for name in ("file", "variable", "argument")
    }
    environ = {"DTMETRICS_RULES": json.dumps([rules["variable"]])}
    found = resolve(
        table({"rules": [rules["file"]]}, wins=False),
        environ,
        rules=[rules["argument"]],
    )
    assert [each["key"] for each in found.rules] == ["argument", "variable", "file"]
    found = resolve(text('[[rules]]\nkey = "file"\ndeny = true\n'), environ)
    assert [each["key"] for each in found.rules] == ["file", "variable"]


def test_problems_of_rules() -> None:
    """Each problem of each rule is reported with its path."""
    settings: dict[str, Any] = {
        "rules": [
            {"key": "a", "dney": True},
            {"key": "a.*", "cap": {"b": "many", "c": 0}},
            "a",
        ]
    }
    found = problems(table(settings))
    paths = [each.partition(" must ")[0] for each in found]
    assert paths == ["rules[0]", "rules[1].cap['b']", "rules[1].cap['c']", "rules[2]"]
    assert "(did you mean deny?)" in found[0]
    settings["rules"][0] = {"key": "a", "replace": {"b": str.upper, "c": {1}}}
    found = problems(table(settings))
    paths = [each.partition(" must ")[0] for each in found]
    assert paths == ["rules[0]['replace']['b']", "rules[0]['replace']['c']"]


def test_one_token(tmp_path: Path) -> None:
    """A token that wins replaces a token and a token's file below it."""
    file = tmp_path / "token"
    file.write_text("dt0c01.FILE.secret")
    with_file = {"endpoint": SAAS, "token_file": str(file)}
    found = resolve(table(with_file, wins=False), {"DTMETRICS_TOKEN": "variable"})
    assert (found.token.reveal(), found.token_file) == ("variable", None)
    found = resolve(table(with_file, wins=False), token="argument")
    assert (found.token.reveal(), found.token_file) == ("argument", None)
    found = resolve(table(with_file), {"DTMETRICS_TOKEN": "variable"})
    assert (found.token.reveal(), found.token_file) == ("", str(file))
    found = resolve(table(with_file, wins=False))
    assert found.token_file == str(file)


def test_exporter_of_the_program() -> None:
    """An exporter of the program's own replaces the destination in a document."""
    document = table({"endpoint": SAAS, "token": TOKEN, "exporters": "x"}, wins=False)
    exporter = MemoryExporter()
    found = resolve(document, exporter=exporter)
    assert (found.exporter, found.exporters, found.token.reveal()) == (exporter, (), "")


def test_console_beside_an_endpoint() -> None:
    """A document may name the console, and keep the endpoint that is then not used."""
    settings = {"endpoint": SAAS, "token": TOKEN, "exporters": ["console"]}
    for document in table(settings), text(as_toml(settings)):
        [exporter] = resolve(document).exporters
        assert isinstance(exporter, ConsoleExporter)


# -- problems --------------------------------------------------------------------------


def test_all_problems_at_once() -> None:
    """One error lists every problem, with its path in the document and a suggestion."""
    settings = {
        "levles": {"shop.db": "DEBUG"},
        "levels": {"shop.db": "LOUD", "shop": 1.5, "fine": "INFO", "shop.x": ["a"]},
        "dimensions": {"list": [1], "": 1, "fine": "x", "day": {"month": 1}},
        "runtime": ["cpu", "gcc", 3],
        "interval": "soon",
        "exporter": "console",
        "exporters": ["console", {"name": "dynatrace"}],
        "strict": 2,
        "key_password": "CANARY",
        "": 1,
    }
    groups = (
        "runtime must be True, False or a list of 'cpu', 'memory', 'paging', 'threads', "
        "'descriptors', 'context_switches', 'gc', 'uptime', got "
    )
    one = "must be a text, a number or a boolean, got an object of type"
    level = "must be a logging level name or an int, got"
    in_code = "because a document holds no objects, got"
    table_ = "an object of type dict"
    assert problems(table(settings)) == [
        "levles is not a setting (did you mean levels?)",
        "'' is not a setting",
        f"levels['shop.db'] {level} 'LOUD'",
        f"levels['shop'] {level} 1.5",
        f"levels['shop.x'] {one} list",
        f"dimensions['list'] {one} list",
        "dimensions must have only str keys with a letter, digit or underscore, got ''",
        f"dimensions['day'] {one} dict (did you mean 'day.month' in quotes?)",
        f"{groups}'gcc' (did you mean gc?)",
        f"{groups}3",
        "interval must be between 0 and 86400 seconds, got 'soon'",
        f"exporter must be set in code, {in_code} 'console' (did you mean exporters?)",
        f"exporters[1] must list names, such as 'console', {in_code} {table_}",
        "strict must be True or False, got 2",
        "client_cert must be set with key_password, got none",
    ]


def test_problems_of_other_sources() -> None:
    """Problems of arguments and of the document are reported together."""
    document = text('levels = {a = "LOUD"}\nlevles = 1', wins=False)
    assert problems(document, interval=-1, token="Bearer x") == [
        "shop.toml: levles is not a setting (did you mean levels?)",
        "shop.toml: levels['a'] must be a logging level name or an int, got 'LOUD'",
        "interval must be between 0 and 86400 seconds, got -1",
        "token must be the token alone, got one with 'Api-Token' or 'Bearer'",
    ]


def test_table_without_quotes() -> None:
    """A name with a dot that is not in quotes is a table; the error names the remedy."""
    assert problems(text('[levels]\nshop.db = "DEBUG"\n')) == [
        "shop.toml: levels['shop'] must be a text, a number or a boolean, got an object "
        "of type dict (did you mean 'shop.db' in quotes?)"
    ]
    assert resolve(text('[levels]\n"shop.db" = "DEBUG"\n')).levels == {"shop.db": 10}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            'level = "DEBUG"\nlevels = {a: 1}',
            "must be valid TOML, got an error at line 2, column 12: Expected '=' after a "
            "key in a key/value pair",
        ),
        (
            "[levels]\na = 10\na = 20",
            "must be valid TOML, got an error at {}: a key that is there twice",
        ),
        (
            '[dimensions]\n[levels]\n"CANARY" = {b = 1, b = 2}\n',
            "must be valid TOML, got an error at line 3, column 25: a key that is there "
            "twice",
        ),
        (
            'token = "CANARY',
            "must be valid TOML, got an error at {}: Unterminated string",
        ),
        (f"a = {'[' * 60_000}", "must be valid TOML, got an error at {}: "),
        (f"a = {'1' * 5_000}", "must be valid TOML, got an error at {}: Exceeds "),
        ("a = 2000-99-99", "must be valid TOML, got an error at "),
        (b"\xff\xfel\0e\0v\0", "must be a text in UTF-8, got another byte at 0"),
        (b'prefix = "\x80"', "must be a text in UTF-8, got another byte at 10"),
        (b"\x00\x00", "must be valid TOML, got an error at line 1, column 1: "),
        (b"level: DEBUG", "must be valid TOML, got an error at line 1, column 6: "),
    ],
    ids=range(11),
)
def test_invalid_toml(source: str | bytes, problem: str) -> None:
    """A syntax error is reported with the file and the line, and without the content."""
    [found] = problems(text(source))
    pattern = re.escape(f"shop.toml {problem}").replace(
        re.escape("{}"), "(its end|line [0-9]+, column [0-9]+)"
    )
    assert re.match(pattern, found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            '{\n"level": 10,\n"token": "CANARY}',
            ["must be valid JSON, got an error at line 3, column 10: Unterminated "],
        ),
        ("", ["must be valid JSON, got an error at line 1, column 1: Expecting value"]),
        (
            '{"levels": {"a": 10, "a": 20, "a": 1}, "levels": {}}',
            [
                "must have the key 'a' once in a table, got 3 of it",
                "must have the key 'levels' once in a table, got 2 of it",
            ],
        ),
        ("[" * 200_000, ["must be valid JSON, got an error at line 1, column 1: "]),
        (f'{{"a": {"1" * 5_000}}}', ["must be valid JSON, got an error at line 1, "]),
        ("{'level': 1}", ["must be valid JSON, got an error at line 1, column 2: "]),
    ],
    ids=range(6),
)
def test_invalid_json(source: str, expected: list[str]) -> None:
    """A syntax error, or a key that is there twice, is reported with the file."""
    found = problems(text(source, "shop.json"))
    assert len(found) == len(expected)
    for problem, beginning in zip(found, expected, strict=True):
        assert problem.startswith(f"shop.json {beginning}")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (
            table([1]),
            "settings must be a table of settings, got an object of type list",
        ),
        (table(None), "settings must be a table of settings, got None"),
        (text("[]", "a.json"), "a.json must be a table of settings, got an object of "),
        (text('"x"', "a.json"), "a.json must be a table of settings, got 'x'"),
        (
            text("[tool.dtmetric]", "/x/pyproject.toml"),
            "/x/pyproject.toml: tool.dtmetrics must be a table of settings, got None",
        ),
        (
            text("tool = 1", "pyproject.toml"),
            "pyproject.toml: tool.dtmetrics must be a table of settings, got None",
        ),
        (
            text("[tool.dtmetrics]\nlevles = 1", "pyproject.toml"),
            "pyproject.toml: tool.dtmetrics.levles is not a setting (did you mean ",
        ),
    ],
    ids=range(7),
)
def test_wrong_top_level(document: Document, problem: str) -> None:
    """A document that is not a table of settings is one problem."""
    [found] = problems(document)
    assert found.startswith(problem)


CYCLE: dict[str, Any] = {}
CYCLE["a"] = [CYCLE] * 100
DEEP: list[Any] = []
for _ in range(1_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "settings",
    [
        {"exporter": MemoryExporter()},
        {"exporters": [ConsoleExporter()]},
        {"exporters": ConsoleExporter()},
        {"token": lambda: TOKEN},
        {"dimensions": {"a": object()}},
        {"dimensions": {"a": datetime.date(2025, 1, 1)}},
        {"dimensions": {1: 1}},
        {"levels": {1: 1}},
        {"levels": {("a",): CYCLE}},
        {"spool": Path("/tmp")},
        {"interval": datetime.timedelta(1)},
        {"runtime": {"cpu"}},
        {"runtime": [print]},
        {"runtime": CYCLE},
        {"runtime": DEEP},
        {"rules": CYCLE},
        {"rules": [{"dimensions": CYCLE}]},
        {"prefix": {1: {}}},
        {"prefix": b"shop"},
    ],
    ids=range(19),
)
def test_only_in_code(settings: dict[str, Any]) -> None:
    """What neither TOML nor JSON can hold is a problem, and nothing of it is called."""
    [found] = problems(table(settings))
    assert found.startswith(next(iter(settings)))


def test_reason_for_objects() -> None:
    """The problem of an object names the reason."""
    [found] = problems(table({"token": lambda: TOKEN}))
    assert found == (
        "token must be a text, a number, a boolean, a list or a table, because a "
        "document holds nothing else, got an object of type function"
    )


def test_without_a_reader_of_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither tomllib nor tomli is installed, the error names the extra."""
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    [found] = problems(text("level = 10"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found == (
        f"shop.toml must be JSON on Python {version} without the extra toml, got another "
        'one (did you mean pip install "dtmetrics[toml]"?)'
    )
    assert resolve(text('{"level": 10}', "a.json")).level == 10


# -- secrets ---------------------------------------------------------------------------


def secret_documents() -> dict[str, Any]:
    """Return documents with secrets, each of which has a problem."""
    secrets = {
        "endpoint": f"https://user:{TOKEN}@abc.example/?api-token={TOKEN}",
        "token": f"{TOKEN}\r\nX-Injected: 1",
        "key_password": "CANARY",
        "proxy": "ftp://user:CANARY@proxy.example",
    }
    return {
        "invalid": secrets,
        "of another type": {name: [value] for name, value in secrets.items()},
        "in a table": {name: {"value": value} for name, value in secrets.items()},
        "misspelt": {f"{name}s": value for name, value in secrets.items()},
        "beside another problem": {"token": TOKEN, "endpoint": SAAS, "interval": -1},
        "as an object": {"token": [object(), TOKEN], "proxy": {"a": print}},
        "as a name": {TOKEN: 1},
        "at the top": [TOKEN],
    }


def configure_by_mapping(kind: str, runtime: Runtime, place: Path) -> None:
    """Configure by a mapping."""
    runtime.dict_config(Secret(secret_documents()[kind]))


def configure_by_json(kind: str, runtime: Runtime, place: Path) -> None:
    """Configure by a file."""
    file = place / "shop.json"
    file.write_text(json.dumps(secret_documents()[kind], default=str))
    runtime.file_config(file)


def configure_by_broken_json(kind: str, runtime: Runtime, place: Path) -> None:
    """Configure by a file that lacks its last character."""
    file = place / "shop.json"
    file.write_text(json.dumps(secret_documents()[kind], default=str)[:-1])
    runtime.file_config(file)


@pytest.mark.parametrize("kind", sorted(secret_documents()))
@pytest.mark.parametrize(
    "configure", [configure_by_mapping, configure_by_json, configure_by_broken_json]
)
def test_secrets_in_no_traceback(
    configure: Callable[[str, Runtime, Path], None],
    kind: str,
    tmp_path: Path,
    runtime: Runtime,
) -> None:
    """No error and no traceback with local variables shows a secret."""
    with pytest.raises(ConfigError) as caught:
        configure(kind, runtime, tmp_path)
    assert caught.value.__context__ is None
    trace = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    shown = "".join(trace.format())
    assert "document.py" in shown
    assert "CANARY" not in shown


def test_token_in_other_settings() -> None:
    """A problem of another setting shows the token neither as a value nor as a key."""
    settings = {"token": "CANARY-1", "level": "CANARY-1", "prefix": "dt.CANARY-1"}
    entries = {"levels": {"CANARY-1": "CANARY-1"}, "dimensions": {"CANARY-1": {"x": 1}}}
    assert len(problems(table({**settings, **entries}))) == 4


def test_repr_shows_no_secret() -> None:
    """A document prints without its secrets."""
    secrets = dict.fromkeys(SECRET_SETTINGS, f"x{TOKEN}")
    assert "CANARY" not in repr(table(secrets)) + repr(text(as_toml(secrets)))


# -- anything --------------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=8,
)
likely = st.sampled_from([*VALUES.values(), "10", "true", "LOUD", 10**400, 1e300, -1])
names = st.sampled_from([*SETTINGS, "levles", "force", "exporterz"]) | texts
# A path of a text could name a file that blocks, or make a directory.
documents = st.dictionaries(names, values | likely, max_size=8).map(
    lambda found: {k: v for k, v in found.items() if k not in (*FILES, "spool")}
)


@given(documents | values)
def test_any_document(settings: Any) -> None:
    """Any JSON-like value is a working configuration or raises a ConfigError."""
    runtime = Runtime()
    problems: tuple[str, ...] = ()
    try:
        runtime.dict_config(Secret(settings))
    except ConfigError as error:
        problems = error.problems
    if problems:
        assert not runtime.registry.recording
    assert all(each.isprintable() for each in problems)
    runtime.shutdown(timeout=0.0)


@given(documents)
def test_every_problem_is_listed(settings: dict[str, Any]) -> None:
    """A document has each problem that its settings have one by one."""

    def found(part: dict[str, Any]) -> set[str]:
        try:
            resolve(table(part))
        except ConfigError as error:
            return set(error.problems)
        return set()

    # A token is hidden in each problem that shows the same text.
    settings = {name: settings[name] for name in settings if name != "token"}
    together = found(settings)
    for name, value in settings.items():
        # These have problems between each other, which others may resolve.
        if name not in ("endpoint", "exporters", "allow_plain_http", "proxy"):
            assert found({name: value}) <= together


@given(st.binary() | texts.map(lambda found: found.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize("name", ["a.toml", "a.json", "pyproject.toml"])
def test_any_content(name: str, content: bytes) -> None:
    """Any bytes are a document, or raise a ConfigError that names the file."""
    problems: tuple[str, ...] = ()
    try:
        resolve(text(content, name))
    except ConfigError as error:
        problems = error.problems
    assert all(each.startswith(name) for each in problems)

from __future__ import annotations

import ast
import importlib
import ssl
from importlib.metadata import metadata, version
from pathlib import Path
from types import ModuleType

import pytest

import dtmetrics
from tests.support.endpoint import Endpoint, answer, refusing_port
from tests.support.script import expect

# Records what importing and configuring must not do while the rest of a script runs.
WATCH = """
import os, sys, threading

known = set(sys.modules)
events = []

def watch(event, arguments):
    name, code = str(arguments[0]) if arguments else "", (".py", ".pyc", ".so", ".pyd")
    # The first import of a module writes it to NAME.pyc.NUMBER, and renames that.
    if event == "open" and not name.endswith(code) and ".pyc." not in name:
        events.append(f"open {name}")
    elif event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "ctypes.")):
        events.append(event)

class Environ(dict):
    def __missing__(self, key):
        raise KeyError(key)
    def __getitem__(self, key):
        if key.startswith("DT"):
            events.append(f"environ {key}")
        return dict.__getitem__(self, key)
    def get(self, key, default=None):
        return self[key] if key in self else default

os.environ = Environ(os.environ, DTMETRICS_ENDPOINT="http://127.0.0.1:9/x")
sys.addaudithook(watch)
"""


def test_front_door() -> None:
    """The public names of the package are those in ``__all__``, constants first."""
    names = dtmetrics.__all__
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), name))
    public = {
        name
        for name, value in vars(dtmetrics).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("annotations", "TYPE_CHECKING", "Final", "default")
    }
    assert public <= set(names)
    for name in names:
        assert getattr(dtmetrics, name) is getattr(dtmetrics, name)
    imported: dict[str, object] = {}
    exec("from dtmetrics import *", imported)
    assert set(names) <= imported.keys()


def test_public_names_have_docstrings() -> None:
    """Every public name of the package has a docstring, but for a type alias."""
    for name in set(dtmetrics.__all__) - {"Level"}:
        assert (getattr(dtmetrics, name).__doc__ or "").strip(), name


def test_version() -> None:
    """The version is that of the installed distribution."""
    assert dtmetrics.__version__ == version("dtmetrics")


def test_all_extra() -> None:
    """The extra ``all`` has what the receiver needs, and each library with an integration."""
    by_extra: dict[str, set[str]] = {}
    for text in metadata("dtmetrics").get_all("Requires-Dist") or []:
        requirement, _, extra = text.partition("; extra == ")
        by_extra.setdefault(extra.strip("'\""), set()).add(requirement)
    folder = Path(dtmetrics.__file__).parent / "integrations"
    integrations = {path.stem for path in folder.glob("[a-z]*")}
    without = {"asgi", "aws_lambda", "faas", "httpx", "routes", "wsgi"}
    of_the_standard_library = {"asyncio", "caches", "executors", "logging"}
    users = integrations - without - of_the_standard_library | {"receiver", "runtime"}
    assert by_extra["all"] == set().union(*(by_extra[extra] for extra in users))


def test_links() -> None:
    """A package index shows where to find the source, the documentation and the issues."""
    links = metadata("dtmetrics").get_all("Project-URL") or []
    names = {link.partition(", ")[0] for link in links}
    assert names == {"Homepage", "Documentation", "Changelog", "Source", "Issues"}
    assert all(", https://" in link for link in links)


def test_no_such_name() -> None:
    """A name that does not exist raises AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'couter'"):
        dtmetrics.couter  # noqa: B018


def test_typed() -> None:
    """The package has the marker file by which type checkers read its types."""
    assert (Path(dtmetrics.__file__).parent / "py.typed").exists()


def test_few_dependencies() -> None:
    """Without an extra the package depends on three libraries."""
    required = metadata("dtmetrics").get_all("Requires-Dist") or []
    core = [text for text in required if "extra ==" not in text]
    assert sorted(text.rstrip("<>=1234567890.,~! ") for text in core) == [
        "cachetools",
        "httpx",
        "wrapt",
    ]


def test_errors_are_public() -> None:
    """The exceptions in ``dtmetrics.errors`` are those in its ``__all__``."""
    errors = importlib.import_module("dtmetrics.errors")
    kinds = {n for n, v in vars(errors).items() if isinstance(v, type)}
    assert {n for n in kinds if issubclass(getattr(errors, n), Exception)} == set(
        errors.__all__
    )


@pytest.mark.parametrize("module", ["", ".integrations.asgi", ".integrations.wsgi"])
def test_import_is_light(module: str) -> None:
    """The import of the package, or of a middleware, costs and does nothing.

    It starts no thread, opens nothing, reads no setting, loads nothing slow.
    """
    source = f"""
    import dtmetrics{module}

    slow = {{"httpx", "ssl", "asyncio", "wrapt", "http", "django", "flask"}}
    slow |= {{"celery", "requests", "rq", "sqlalchemy", "starlette"}}
    print(slow & (set(sys.modules) - known), threading.active_count(), events)
    """
    # Bytecode that is not there yet would be written, which opens files.
    printed = expect(WATCH + _dedent(source), PYTHONDONTWRITEBYTECODE="1")
    assert printed == "set() 1 []\n"


def test_integration_loads_one_library() -> None:
    """The import of an integration loads its own library, and none of the others."""
    source = """
    import dtmetrics.integrations.httpx

    others = {"celery", "django", "flask", "requests", "rq", "sqlalchemy", "starlette"}
    others |= {"wrapt"}
    print(others & (set(sys.modules) - known), threading.active_count())
    """
    assert expect(WATCH + _dedent(source)) == "set() 1\n"


def test_own_exporter_loads_no_tls() -> None:
    """With an exporter of the user's own, configure() does not load ssl: 15 ms."""
    source = """
    import dtmetrics
    dtmetrics.configure(exporter=dtmetrics.MemoryExporter())
    print({"ssl", "httpx", "dtmetrics._export.tls"} & (set(sys.modules) - known))
    """
    assert expect(WATCH + _dedent(source)) == "set()\n"


def test_configure_starts_nothing() -> None:
    """configure() starts no thread and opens no connection, because a fork may follow."""
    source = """
    import dtmetrics

    dtmetrics.configure()
    print(threading.active_count(), [event for event in events if "socket" in event])
    """
    assert expect(WATCH + _dedent(source)) == "1 []\n"


def _dedent(source: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in source.splitlines())


# After configure() a process may fork at any moment. A module that its flusher imports
# at that moment stays locked in the child forever, and so do the locks that OpenSSL
# holds while it makes a context.
FIRST_POST = """
import logging, os, ssl, sys
import dtmetrics

logging.basicConfig(filename=os.devnull)
dtmetrics.configure(interval=None)
before = set(sys.modules)
ssl.SSLContext = ssl.create_default_context = None
dtmetrics.counter("orders").inc()
answered = dtmetrics.flush()
print(answered, sorted(set(sys.modules) - before), dtmetrics.stats().last_error)
"""


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (202, [], "True [] \n"),
        (429, ["Retry-After: 7"], "False [] status 429 at "),
        (
            503,
            ["Retry-After: Tue, 14 Nov 2099 22:13:00 GMT"],
            "False [] status 503 at ",
        ),
        (302, ["Location: http://zürich.example/"], "False [] status 302 at "),
    ],
)
def test_first_post_imports_nothing(
    status: int, headers: list[str], expected: str
) -> None:
    """The first request imports no module and makes no SSL context."""
    with Endpoint(answer(status, '{"linesOk": 1}', headers)) as endpoint:
        printed = expect(FIRST_POST, DTMETRICS_ENDPOINT=endpoint.url)
    assert printed.startswith(expected)


def test_first_failure_imports_nothing() -> None:
    """A first request that fails imports no module."""
    url = f"http://localhost:{refusing_port()}"
    printed = expect(FIRST_POST, DTMETRICS_ENDPOINT=url).split(" ")
    assert printed[:3] == ["False", "[]", "ConnectError"]


def test_first_https_post_imports_nothing(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    """A first request over https imports no module and makes no SSL context."""
    with Endpoint(tls=tls) as endpoint:
        environ = {"DTMETRICS_ENDPOINT": endpoint.url, "DTMETRICS_TOKEN": "abc"}
        for name in ("SSL_CERT_FILE", "DTMETRICS_CA_FILE"):
            printed = expect(FIRST_POST, **environ, **{name: str(certificate)})
            assert printed == "True [] \n"
    assert endpoint.total("orders") == 2


#: Modules and calls that run, read or load code.
DANGEROUS = {"ctypes", "dill", "marshal", "pickle", "shelve", "subprocess", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}


def test_runs_no_foreign_code() -> None:
    """No module unpickles, evaluates, loads or starts anything, with three exceptions.

    The demo starts the receiver, ``dtmetrics job`` starts its command, and ``codegen``
    compiles its own source for timed functions.
    """
    allowed = {
        "demo.py": {"subprocess"},
        "child_command.py": {"subprocess"},
        "codegen.py": {"exec", "compile"},
    }
    root = Path(dtmetrics.__file__).parent
    for path in root.rglob("*.py"):
        used = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                used |= {node.func.id} & CALLS
        assert used & (DANGEROUS | CALLS) <= allowed.get(path.name, set()), path

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

# What importing and configuring may not do, noted while the rest of a script runs.
WATCH = """
import os, sys, threading

known = set(sys.modules)
done = []

def watch(event, arguments):
    code = (".py", ".pyc", ".so", ".pyd")
    if event == "open" and not str(arguments[0]).endswith(code):
        done.append(f"open {arguments[0]}")
    elif event.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "ctypes.")):
        done.append(event)

class Environ(dict):
    def __missing__(self, key):
        raise KeyError(key)
    def __getitem__(self, key):
        if key.startswith("DT"):
            done.append(f"environ {key}")
        return dict.__getitem__(self, key)
    def get(self, key, default=None):
        return self[key] if key in self else default

os.environ = Environ(os.environ, DTMETRICS_ENDPOINT="http://127.0.0.1:9/x")
sys.addaudithook(watch)
"""


def test_front_door() -> None:
    """The front door lists what it offers, sorted, and offers nothing else."""
    names = dtmetrics.__all__
    assert names == sorted(set(names))
    public = {
        name
        for name, value in vars(dtmetrics).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("annotations", "TYPE_CHECKING", "default")
    }
    assert public <= set(names)
    for name in names:
        assert getattr(dtmetrics, name) is getattr(dtmetrics, name)
    taken: dict[str, object] = {}
    exec("from dtmetrics import *", taken)
    assert set(names) <= taken.keys()


def test_everything_offered_is_explained() -> None:
    """Whatever can be imported from the front door says what it is."""
    for name in dtmetrics.__all__:
        assert (getattr(dtmetrics, name).__doc__ or "").strip(), name


def test_version() -> None:
    """The version is that of the installed distribution."""
    assert dtmetrics.__version__ == version("dtmetrics")


def test_no_such_name() -> None:
    """A name that is not offered is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'couter'"):
        dtmetrics.couter  # noqa: B018


def test_typed() -> None:
    """Type checkers are told that the package has types."""
    assert (Path(dtmetrics.__file__).parent / "py.typed").exists()


def test_few_dependencies() -> None:
    """Three libraries are all that it asks for, without an extra."""
    required = metadata("dtmetrics").get_all("Requires-Dist") or []
    core = [text for text in required if "extra ==" not in text]
    assert sorted(text.rstrip("<>=1234567890.,~! ") for text in core) == [
        "cachetools",
        "httpx",
        "wrapt",
    ]


def test_errors_are_public() -> None:
    """Each exception can be imported from ``dtmetrics.errors``, and is in its list."""
    errors = importlib.import_module("dtmetrics.errors")
    kinds = {n for n, v in vars(errors).items() if isinstance(v, type)}
    assert {n for n in kinds if issubclass(getattr(errors, n), Exception)} == set(
        errors.__all__
    )


def test_import_is_light() -> None:
    """Importing starts nothing, opens nothing, reads no setting, loads nothing slow."""
    source = """
    import dtmetrics

    slow = {"httpx", "ssl", "asyncio", "wrapt", "http", "django", "flask"}
    slow |= {"requests", "sqlalchemy"}
    print(slow & (set(sys.modules) - known), threading.active_count(), done)
    """
    assert expect(WATCH + _dedent(source)) == "set() 1 []\n"


@pytest.mark.parametrize("module", ["asgi", "wsgi"])
def test_middlewares_are_light(module: str) -> None:
    """So is importing a middleware, and it needs no framework."""
    source = f"""
    import dtmetrics.integrations.{module}

    slow = {{"httpx", "ssl", "asyncio", "wrapt", "http", "django", "flask", "starlette"}}
    print(slow & (set(sys.modules) - known), threading.active_count(), done)
    """
    assert expect(WATCH + _dedent(source)) == "set() 1 []\n"


def test_httpx_alone() -> None:
    """Importing an integration loads its library, and no other one."""
    source = """
    import dtmetrics.integrations.httpx

    others = {"django", "flask", "requests", "sqlalchemy", "starlette", "wrapt"}
    print(others & (set(sys.modules) - known), threading.active_count())
    """
    assert expect(WATCH + _dedent(source)) == "set() 1\n"


def test_configure_starts_nothing() -> None:
    """configure() starts no thread and opens no connection: a fork may follow."""
    source = """
    import dtmetrics

    dtmetrics.configure()
    print(threading.active_count(), [what for what in done if "socket" in what])
    """
    assert expect(WATCH + _dedent(source)) == "1 []\n"


def _dedent(source: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in source.splitlines())


# After configure() a process may fork at any moment. What its flusher imports just
# then stays locked in the child for ever (reliability.md, F2), and so do the locks
# that OpenSSL holds while a context is made.
FIRST_POST = """
import logging, os, ssl, sys
import dtmetrics

logging.basicConfig(filename=os.devnull)
dtmetrics.configure(interval=None)
before = set(sys.modules)
ssl.SSLContext = ssl.create_default_context = None
dtmetrics.counter("orders").inc()
done = dtmetrics.flush()
print(done, sorted(set(sys.modules) - before), dtmetrics.stats().last_error)
"""


@pytest.mark.parametrize(
    ("status", "headers", "said"),
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
def test_first_post_imports_nothing(status: int, headers: list[str], said: str) -> None:
    """After configure() the first request imports no module, whatever is answered.

    Nor does it make an SSL context.
    """
    with Endpoint(answer(status, '{"linesOk": 1}', headers)) as endpoint:
        printed = expect(FIRST_POST, DTMETRICS_ENDPOINT=endpoint.url)
    assert printed.startswith(said)


def test_first_failure_imports_nothing() -> None:
    """Nor does a first request that fails."""
    url = f"http://localhost:{refusing_port()}"
    printed = expect(FIRST_POST, DTMETRICS_ENDPOINT=url).split(" ")
    assert printed[:3] == ["False", "[]", "ConnectError"]


def test_first_https_post_imports_nothing(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    """Nor does one over https, to an endpoint whose certificate is trusted."""
    with Endpoint(tls=tls) as endpoint:
        environ = {"DTMETRICS_ENDPOINT": endpoint.url, "DTMETRICS_TOKEN": "abc"}
        for name in ("SSL_CERT_FILE", "DTMETRICS_CA_FILE"):
            printed = expect(FIRST_POST, **environ, **{name: str(certificate)})
            assert printed == "True [] \n"
    assert endpoint.total("orders") == 2


#: What would run, read or load code that somebody else may have written.
DANGEROUS = {"ctypes", "dill", "marshal", "pickle", "shelve", "subprocess", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}


def test_runs_nothing_of_others() -> None:
    """No code unpickles, evaluates, loads or starts what it was given from outside.

    Only the demo starts a program, the receiver; and only text of its own, with names
    that are nothing but names, is compiled, for timed functions.
    """
    allowed = {"demo.py": {"subprocess"}, "codegen.py": {"exec", "compile"}}
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


def test_certificates_are_checked(tls: ssl.SSLContext) -> None:
    """An endpoint whose certificate nobody vouches for gets neither token nor data."""
    with Endpoint(tls=tls) as endpoint:
        environ = {"DTMETRICS_ENDPOINT": endpoint.url, "DTMETRICS_TOKEN": "abc"}
        printed = expect(FIRST_POST, **environ)
        assert printed.startswith("False [] SSLCertVerificationError at ")
    assert endpoint.requests == []

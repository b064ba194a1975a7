"""The programs in ``examples/web``, each under the server that its page names."""

from __future__ import annotations

import inspect
import shlex
import socket
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.example_pages import ExamplePage
from tests.support.script import expect
from tests.support.web_load import Ask, counts, expected, load, serving

ANY_PORT = {"gunicorn": ["--bind", "127.0.0.1:0"], "uvicorn": ["--port", "0"]}
FRAMEWORKS = ["asgi", "django", "fastapi", "flask", "starlette", "wsgi"]
#: How each framework writes a parameter of a route.
NUMBER = {"django": "<int:number>", "flask": "<int:number>"}
#: What takes the options of each page but Django's.
TARGETS = {
    "asgi": ("dtmetrics.integrations.asgi", "MetricsMiddleware"),
    "fastapi": ("dtmetrics.integrations.fastapi", "Metrics"),
    "flask": ("dtmetrics.integrations.flask", "Metrics"),
    "starlette": ("dtmetrics.integrations.starlette", "Metrics"),
    "wsgi": ("dtmetrics.integrations.wsgi", "MetricsMiddleware"),
}

#: In SQLite's memory there is neither a server nor a name, and without a FROM no table.
OF_OTHER_DATABASES = {
    "db.namespace",
    "db.collection.name",
    "server.address",
    "server.port",
}


def plan(framework: str) -> list[Ask]:
    """Return requests that are answered, one without a route, and an excluded one."""
    route = f"/items/{NUMBER.get(framework, '{number}')}"
    return [
        *[Ask("GET", f"/items/{number}", route, "200") for number in range(3)],
        Ask("GET", "/wp-admin", None, "404"),
    ]


def needs(*modules: str) -> None:
    """Skip the test if one of the *modules* is missing."""
    for module in modules:
        if module not in ("asgi", "wsgi"):
            pytest.importorskip(module)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_program(framework: str) -> None:
    """The program runs by the command on its page, and what arrives is what it lists.

    A path that is excluded is not recorded.
    """
    page = ExamplePage(f"web/{framework}")
    [server] = [name for name in ANY_PORT if f"\n{name} " in page.text]
    needs(framework, server)
    command = [*page.command(server), *ANY_PORT[server]]
    asks = plan(framework)
    with Endpoint() as endpoint:
        with serving(command, endpoint, page.folder) as address:
            load(address, [*asks, Ask("GET", "/health", None, "404")])
        assert counts(endpoint) == expected(asks)
    page.check(
        endpoint.lines, missing={"error.type", "dtmetrics.worker", *OF_OTHER_DATABASES}
    )


@pytest.mark.parametrize("framework", sorted(TARGETS))
def test_options(framework: str) -> None:
    """The page lists each option of the middleware."""
    needs(framework)
    module, name = TARGETS[framework]
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    taken = {
        each.name for each in parameters.values() if each.kind is each.KEYWORD_ONLY
    }
    assert ExamplePage(f"web/{framework}").options() == taken


def test_options_of_django() -> None:
    """The page lists each key of ``DTMETRICS`` that is not a setting of configure()."""
    needs("django")
    from dtmetrics._config.settings import SETTINGS
    from dtmetrics.integrations.django import options

    assert ExamplePage("web/django").options() == options._KNOWN - SETTINGS.keys()


#: The programs on the page about other frameworks: their servers, what these need, and
#: how each framework writes a route.
OTHERS = {
    "bottle_shop": ("gunicorn", ["bottle"], "/items/<number:int>"),
    "channels_shop": ("uvicorn", ["channels", "wsproto"], "/items/<int:number>"),
    "falcon_async_shop": ("uvicorn", ["falcon"], "/items/{number:int}"),
    "falcon_shop": ("gunicorn", ["falcon"], "/items/{number:int}"),
    "litestar_shop": ("uvicorn", ["litestar"], "/items/{number}"),
    "pyramid_shop": ("gunicorn", ["pyramid"], "/items/{number}"),
    "quart_shop": ("uvicorn", ["quart"], "/items/<int:number>"),
}


@pytest.mark.processes
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_frameworks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program runs by the command in its row of the page, and has its routes."""
    server, modules, route = OTHERS[name]
    needs(server, *modules)
    if name == "litestar_shop":
        scope = pytest.importorskip("litestar.types").HTTPScope
        if "path_template" not in scope.__annotations__:
            pytest.skip("this Litestar leaves no route in the scope")
    page = ExamplePage("web/other-frameworks")
    [command] = [
        shlex.split(row[2].partition(": ")[2])
        for row in page.table("framework")
        if row[2].startswith(f"[{name}.py]")
    ]
    asks = [Ask("GET", f"/items/{number}", route, "200") for number in range(3)]
    asks.append(Ask("GET", "/wp-admin", None, "404"))
    # The client has its response before the request is recorded: so wait for it.
    monkeypatch.setenv("DTMETRICS_INTERVAL", "0.1")
    with Endpoint() as endpoint:
        with serving([*command, *ANY_PORT[server]], endpoint, page.folder) as address:
            load(address, [*asks, Ask("GET", "/health", None, "404")])
            if name == "channels_shop":
                open_websocket(address, "/news/7")
                endpoint.wait_until(lambda: "websocket." in "".join(endpoint.lines))
            endpoint.wait_until(lambda: counts(endpoint).total() >= len(asks))
        assert counts(endpoint) == expected(asks)
    sockets = [line for line in endpoint.lines if line.startswith("websocket.")]
    assert ["/news/<int:number>" in line for line in sockets] == (
        [True] if name == "channels_shop" else []
    )


def open_websocket(address: str, path: str) -> None:
    """Open a websocket, read the greeting, and leave."""
    host, port = address.removeprefix("http://").split(":")
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(head.encode())
        got = b""
        while not got.endswith(b"hello"):
            got += connection.recv(4096)


SETTINGS = """
import django
from django.conf import settings
from django.core.checks import run_checks
import dtmetrics

{settings}
settings.configure(
    INSTALLED_APPS=INSTALLED_APPS, MIDDLEWARE=MIDDLEWARE, DTMETRICS=DTMETRICS
)
django.setup()
dtmetrics.counter("orders").inc()
print(run_checks(), dtmetrics.flush(), dtmetrics.stats().accepted)
"""


def test_settings_of_django() -> None:
    """The settings on Django's page pass its checks, and start recording."""
    needs("django")
    settings = ExamplePage("web/django").part("INSTALLED_APPS = ")
    source = SETTINGS.format(settings=settings)
    with Endpoint() as endpoint:
        printed = expect(source, DTMETRICS_ENDPOINT=endpoint.url)
    assert printed == "[] True 1\n"
    assert "service=shop" in endpoint.lines[0]


def test_django_under_uvicorn(tmp_path: Path) -> None:
    """The ``asgi.py`` on Django's page sends the rest when uvicorn is stopped."""
    needs("django", "uvicorn")
    page = ExamplePage("web/django")
    before = f"import sys\nsys.path.append({str(page.folder)!r})\nimport django_shop\n"
    source = before + page.part("from django.core.asgi")
    (tmp_path / "asgi.py").write_text(source, "utf-8")
    asks = plan("django")
    command = ["uvicorn", "asgi:application", *ANY_PORT["uvicorn"]]
    with Endpoint() as endpoint:
        with serving(command, endpoint, tmp_path) as address:
            load(address, asks)
        # The client has its response before the request is recorded.
        assert (expected(asks) - counts(endpoint)).total() <= 1
        assert counts(endpoint) <= expected(asks)

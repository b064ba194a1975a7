"""The command that runs the suites of frameworks, with small suites in their place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.framework_suites import __main__ as command
from tests.framework_suites.comparison import Comparison, Run, run
from tests.framework_suites.suites import SUITES

pytestmark = pytest.mark.processes

PYTEST = [sys.executable, *SUITES["flask"].command[:-1], "-p", "no:randomly"]

STARLETTE = """
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

async def index(request):
    return PlainTextResponse(",".join(sorted(request.scope)))

client = TestClient(Starlette(routes=[Route("/", index)]))

def test_passes():
    assert client.get("/").status_code == 200

def test_differs():
    assert "dtmetrics" not in client.get("/").text

def test_fails():
    assert 0

@pytest.fixture
def broken():
    assert 0

def test_error(broken):
    pass

@pytest.mark.skip
def test_skipped():
    pass

@pytest.mark.xfail
def test_xfailed():
    assert 0
"""

FLASK = """
import flask

def test_passes():
    app = flask.Flask("shop")
    assert app.test_client().get("/").status_code == 404
"""

DJANGO = """
import sys, unittest
import django
from django.conf import settings
from django.test import SimpleTestCase

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(), SECRET_KEY="for tests")
django.setup()

class Tests(SimpleTestCase):
    def test_passes(self):
        assert self.client.get("/").status_code == 404
        assert settings.MIDDLEWARE == []

    def test_fails(self):
        assert 0

    def test_error(self):
        raise KeyError

    @unittest.skip("")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_xfailed(self):
        assert 0

    @unittest.expectedFailure
    def test_unexpected(self):
        pass

    def test_parts(self):
        for number in range(2):
            with self.subTest(number):
                assert number
        with self.subTest("whole"):
            pass

unittest.main(argv=["runtests.py"])
"""


@pytest.mark.parametrize("name", ["starlette", "fastapi"])
def test_starlette(tmp_path: Path, name: str) -> None:
    """Each test of a suite has an outcome; its applications are wrapped in the second run."""
    pytest.importorskip("starlette")
    (tmp_path / "test_it.py").write_text(STARLETTE, "utf-8")
    plain, wrapped = (run(PYTEST, tmp_path, wraps) for wraps in ("", name))
    outcomes = {name.partition("::")[2]: each for name, each in plain.outcomes.items()}
    assert outcomes == {
        "test_passes": "passed",
        "test_differs": "passed",
        "test_fails": "failed",
        "test_error": "error",
        "test_skipped": "skipped",
        "test_xfailed": "xfailed",
    }
    assert (plain.recorded, wrapped.recorded) == (0, 2)
    found = Comparison(plain, wrapped)
    assert found.differences == {"test_it.py::test_differs": ("passed", "failed")}
    assert found.breaches == ["test_it.py::test_differs: passed, but failed if wrapped"]


def test_flask(tmp_path: Path) -> None:
    """Each application of Flask is wrapped, and a module that fails is an outcome."""
    pytest.importorskip("flask")
    (tmp_path / "test_it.py").write_text(FLASK, "utf-8")
    (tmp_path / "test_broken.py").write_text("import no_such_module", "utf-8")
    found = run(PYTEST, tmp_path, "flask")
    assert found.outcomes == {
        "test_it.py::test_passes": "passed",
        "test_broken.py": "not collected",
    }
    assert found.recorded == 1


@pytest.mark.parametrize("wraps", ["", "django"])
def test_django(tmp_path: Path, wraps: str) -> None:
    """Each test of Django's own runner has an outcome; settings are unchanged."""
    pytest.importorskip("django")
    (tmp_path / "runtests.py").write_text(DJANGO, "utf-8")
    found = run([sys.executable, "-m", "suite_django"], tmp_path, wraps)
    assert {name.rpartition(".")[2]: each for name, each in found.outcomes.items()} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_error": "error",
        "test_skipped": "skipped",
        "test_xfailed": "xfailed",
        "test_unexpected": "failed",
        "test_parts": "failed",
    }
    assert found.recorded == (1 if wraps else 0)


def runs(wrapped: str = "passed", recorded: int = 1) -> tuple[Run, Run]:
    """Return the runs of a suite of one test."""
    return Run({"a": "passed"}, 0, 1.0), Run({"a": wrapped}, recorded, 1.0)


@pytest.mark.parametrize(
    ("found", "breaches"),
    [
        (Comparison(*runs()), []),
        (Comparison(*runs("failed"), {"a": "reason"}), []),
        (Comparison(*runs("failed")), ["a: passed, but failed if wrapped"]),
        (Comparison(*runs(), {"a": "reason"}), ["a: expected to differ, but does not"]),
        (
            Comparison(Run({}, 0, 1.0), Run({}, 0, 1.0)),
            ["no test ran", "nothing was recorded: no application was wrapped"],
        ),
        (
            Comparison(runs()[0], Run({}, 1, 1.0)),
            ["a: passed, but not run if wrapped"],
        ),
    ],
    ids=range(6),
)
def test_breaches(
    found: Comparison, breaches: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A difference is a breach unless it is expected, as is one that does not occur."""
    assert found.breaches == breaches
    assert command.show(SUITES["flask"], found) is bool(breaches)
    printed = capsys.readouterr().out
    assert ("breached" if breaches else "passed") in printed.splitlines()[0]
    assert all(text in printed for text in breaches)


def test_unknown_suite(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is an error that names it."""
    with pytest.raises(SystemExit):
        command.main(["bottle"])
    assert "unknown suite: bottle" in capsys.readouterr().err

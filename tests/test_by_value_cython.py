"""Decorated functions of Cython arrive in other processes, with the settings."""

from __future__ import annotations

import importlib
import pickle
import shutil
import sys
from types import ModuleType

import pytest

from dtmetrics import configure, shutdown, timed
from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.script import expect, python_path, run

pytestmark = [pytest.mark.processes, pytest.mark.timeout(PATIENCE + 60)]

SOURCE = """
# cython: language_level=3
from dtmetrics import timed

@timed("task.duration")
def decorated(number):
    return number

def plain(number):
    return number

def generator(number):
    yield number

cpdef typed(int number):
    return number

class Job:
    @timed("task.duration")
    def run(self, number):
        return number

cdef class Extension:
    def run(self, number):
        return number
"""
BUILD = """
from Cython.Build import cythonize
from setuptools import setup
setup(
    name="compiled",
    ext_modules=cythonize("compiled_tasks.pyx", quiet=True),
    script_args=["-q", "build_ext", "--inplace"],
)
"""
RECEIVE = """
import importlib, sys
loads = importlib.import_module(sys.argv[1]).loads
for text in sys.argv[2:]:
    result = loads(bytes.fromhex(text))(3)
    assert result == 3 or [*result] == [3]
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return a module that Cython has compiled."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    place = tmp_path_factory.mktemp("compiled")
    (place / "compiled_tasks.pyx").write_text(SOURCE)
    ended = run(BUILD, cwd=place, PYTHONPATH=python_path())
    assert ended.status == 0, ended.err
    sys.path.append(str(place))
    return importlib.import_module("compiled_tasks")


@pytest.mark.parametrize("library", ["pickle", "cloudpickle", "dill"])
def test_arrives(compiled: ModuleType, library: str) -> None:
    """Each kind of function is timed where it arrives, whether decorated there or here."""
    pickler = pytest.importorskip(library)
    timer = timed("task.duration")
    targets = [
        compiled.decorated,
        compiled.Job().run,
        timer(compiled.plain),
        timer(compiled.typed),
        timer(compiled.generator),
        timer(compiled.Extension().run),
    ]
    assert pickle.loads(pickle.dumps(compiled.decorated)) is compiled.decorated
    with Endpoint() as endpoint:
        configure(endpoint=endpoint.url, interval=3_600.0)
        pickled = [pickler.dumps(target).hex() for target in targets]
        shutdown()
        expect(RECEIVE, library, *pickled, PYTHONPATH=python_path())
    assert endpoint.values("task.duration") == len(targets)

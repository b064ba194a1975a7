"""Files of settings: what can be read, and what is a problem instead."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._config.config import Config
from dtmetrics._config.document_file import (
    BYTES_LIMIT,
    DocumentFile,
    document_of_environment,
    file_of_environment,
)
from dtmetrics._config.invalid_setting import describe
from dtmetrics.errors import ConfigError

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")


def problem(path: Any) -> str:
    """Return the problem of the file at *path*, which is not read to its end."""
    file = DocumentFile(path, "path", wins=True)
    [found] = file.document(file.read()).problems
    return found


def test_content(tmp_path: Path) -> None:
    """The content is read anew each time, from the path as it was at the beginning."""
    path = tmp_path / "shop.toml"
    path.write_text("level = 10")
    file = DocumentFile(path, "path", wins=True)
    first = file.read()
    path.write_text("level = 20")
    found = [
        Config.resolve({}, {}, document=file.document(content)).level
        for content in (first, file.read())
    ]
    assert found == [10, 20]
    assert repr(first) == "***"


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path stays that of the directory in which it was given."""
    (tmp_path / "shop.toml").write_text("level = 10")
    monkeypatch.chdir(tmp_path)
    file = DocumentFile("shop.toml", "path", wins=True)
    monkeypatch.chdir("/")
    assert file.read().reveal() == b"level = 10"
    assert file.shown == "shop.toml"


@pytest.mark.parametrize("path", [None, 1, b"shop.toml", "", " ", "a\0b", ["a"]])
def test_no_path(path: object) -> None:
    """What is not a path is a problem."""
    assert problem(path).startswith(("path must be a path, got ", "path must name "))


def test_missing(tmp_path: Path) -> None:
    """A missing file and a directory are problems."""
    for path in map(str, (tmp_path / "missing.toml", tmp_path)):
        assert problem(path) == f"path must name a readable file, got {describe(path)}"


@needs_posix
def test_fifo(tmp_path: Path) -> None:
    """A FIFO without a writer is a problem, and nothing waits for it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert problem(path).startswith("path must name a regular file, got ")


@needs_posix
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_device(path: str) -> None:
    """A device is a problem."""
    assert problem(path) == f"path must name a regular file, got {path!r}"


@needs_posix
def test_unreadable(tmp_path: Path) -> None:
    """A file without permission is a problem."""
    path = tmp_path / "shop.toml"
    path.write_text("level = 10")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read any file")
    assert problem(path).startswith("path must name a readable file, got ")


def test_large_file(tmp_path: Path) -> None:
    """Of a file of 100 MB no more is read than the limit, and it is a problem."""
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    assert problem(path).startswith(
        f"path must name a file of at most {BYTES_LIMIT} bytes, got "
    )
    comment = b"#" * (BYTES_LIMIT - 11) + b"\nlevel = 10"
    path.write_bytes(comment)
    content = DocumentFile(path, "path", wins=True)
    document = content.document(content.read())
    assert Config.resolve({}, {}, document=document).level == 10


@needs_posix
def test_link(tmp_path: Path) -> None:
    """A link is followed: the files of a ConfigMap are links that are replaced."""
    for number in 10, 20:
        (tmp_path / f"{number}.toml").write_text(f"level = {number}")
    path = tmp_path / "shop.toml"
    path.symlink_to(tmp_path / "10.toml")
    file = DocumentFile(path, "path", wins=True)
    assert file.read().reveal() == b"level = 10"
    (tmp_path / "next").symlink_to(tmp_path / "20.toml")
    (tmp_path / "next").replace(path)
    assert file.read().reveal() == b"level = 20"


def test_variable(tmp_path: Path) -> None:
    """``DTMETRICS_CONFIG`` names a file whose settings are below those of variables."""
    path = tmp_path / "shop.json"
    path.write_text('{"level": 10, "prefix": "shop"}')
    environ = {"DTMETRICS_CONFIG": f" {path} ", "DTMETRICS_LEVEL": "30"}
    found = Config.resolve({}, environ)
    assert (found.level, found.prefix) == (30, "shop")
    for absent in ({}, {"DTMETRICS_CONFIG": " "}):
        assert file_of_environment(absent) is None
        assert not document_of_environment(absent).settings


def test_problem_of_the_variable() -> None:
    """A problem names the variable, beside those of other settings."""
    with pytest.raises(ConfigError) as caught:
        Config.resolve({"level": "LOUD"}, {"DTMETRICS_CONFIG": "/missing"})
    assert caught.value.problems == (
        "DTMETRICS_CONFIG must name a readable file, got '/missing'",
        "level must be a logging level name or an int, got 'LOUD'",
    )

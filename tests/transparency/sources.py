"""Downloads libraries and their tests by pip."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from tests.transparency.libraries import Library

__all__ = ["installed", "unpacked"]


def unpacked(library: Library, directory: Path) -> Path:
    """Return the directory of the source distribution, which is downloaded if missing."""
    sources = directory / "sources" / f"{library.name}-{library.version}"
    if not sources.exists():
        archives = directory / "archives" / library.name
        pin = f"{library.name}=={library.version}"
        _pip("download", "--no-deps", "--no-binary", ":all:", "-d", archives, pin)
        [archive] = archives.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(sources, filter="data")
    [root] = sources.iterdir()
    return root


def installed(library: Library, directory: Path) -> Path:
    """Return a directory with the library and what its tests import."""
    target = directory / "installed" / f"{library.name}-{library.version}"
    if not target.exists():
        pin = f"{library.name}=={library.version}"
        _pip("install", "--target", target, pin, *library.requires)
    return target


def _pip(command: str, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", command, "--quiet", *map(str, arguments)],
        check=True,
    )

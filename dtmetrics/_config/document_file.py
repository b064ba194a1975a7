"""Files of settings: how they are found and read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from dtmetrics._config import environment
from dtmetrics._config.certificate_settings import path as path_setting
from dtmetrics._config.document import NO_DOCUMENT, Document, parse
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._core.secret import Secret

__all__ = ["DocumentFile", "document_of_environment", "file_of_environment"]

#: Some thousand settings. A text of this size is parsed in 0.1 s.
BYTES_LIMIT = 256 * 1024


class DocumentFile:
    """The file at *path*, which the argument or variable *source* names.

    *wins*: its settings count as arguments, which win over variables.
    """

    def __init__(self, path: object, source: str, *, wins: bool) -> None:
        self._source = source
        self._wins = wins
        self._problem = ""
        #: As it was given.
        self.shown: str = ""
        try:
            self.shown = path_setting(path) or ""
        except InvalidSettingError as error:
            self._problem = error.sentence(source)
        # The program may change to another directory.
        self._path = os.path.abspath(self.shown)

    def read(self) -> Secret:
        """Return the content: bytes, or a sentence about why it cannot be read."""
        if self._problem:
            return Secret(self._problem)
        try:
            return Secret(_read(self._path))
        except (OSError, ValueError):
            error = InvalidSettingError("name a readable file", self.shown)
        except InvalidSettingError as found:
            error = found
        return Secret(error.sentence(self._source))

    def document(self, content: Secret) -> Document:
        """Return the document in the *content* that has been read."""
        if isinstance(content.reveal(), str):
            return Document(problems=[content.reveal()], wins=self._wins)
        return parse(content, self.shown, wins=self._wins)


def file_of_environment(
    environ: Mapping[str, str] | None = None,
) -> DocumentFile | None:
    """Return the file that ``DTMETRICS_CONFIG`` names, if it does."""
    path = environment.config_file(environ)
    return DocumentFile(path, environment.CONFIG, wins=False) if path else None


def document_of_environment(environ: Mapping[str, str] | None = None) -> Document:
    """Return the document in the file that ``DTMETRICS_CONFIG`` names, if it does."""
    file = file_of_environment(environ)
    return NO_DOCUMENT if file is None else file.document(file.read())


def _read(path: str) -> bytes:
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidSettingError("name a regular file", path)
        # One more, to detect that there is more.
        content: bytes = file.read(BYTES_LIMIT + 1)
    if len(content) > BYTES_LIMIT:
        requirement = f"name a file of at most {BYTES_LIMIT} bytes"
        raise InvalidSettingError(requirement, path)
    return content


def _open_at_once(path: str, flags: int) -> int:
    # Opening a FIFO would wait for its writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

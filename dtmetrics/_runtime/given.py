"""What a program has configured: by arguments, by a document, by a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dtmetrics._config.config import Config
from dtmetrics._config.document import NO_DOCUMENT, Document, document_of
from dtmetrics._config.document_file import DocumentFile, file_of_environment
from dtmetrics._core.secret import Secret

__all__ = ["Given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one call has configured; ``resolve()`` returns what it means."""

    #: Possible secrets are hidden.
    arguments: Mapping[str, Any]
    document: Document = NO_DOCUMENT
    #: Where the document comes from, to be followed.
    file: DocumentFile | None = None
    content: Secret = Secret(b"")  # noqa: RUF009 -- a Secret is immutable

    @classmethod
    def by_arguments(cls, arguments: Mapping[str, Any]) -> Given:
        """Return *arguments*, and below them the file that the environment names."""
        file = file_of_environment()
        return cls(arguments=arguments) if file is None else cls._read(file, arguments)

    @classmethod
    def by_mapping(cls, settings: Secret) -> Given:
        """Return the settings of a mapping, as arguments."""
        return cls(arguments={}, document=document_of(settings, wins=True))

    @classmethod
    def by_file(cls, path: object) -> Given:
        """Return the settings of the file at *path*, as arguments."""
        return cls._read(DocumentFile(path, "path", wins=True), {})

    @classmethod
    def _read(cls, file: DocumentFile, arguments: Mapping[str, Any]) -> Given:
        content = file.read()
        document = file.document(content)
        return cls(arguments=arguments, document=document, file=file, content=content)

    def with_document(self, document: Document) -> Given:
        """Return the same with a new version of the *document*."""
        return replace(self, document=document)

    def resolve(self) -> Config:
        """Return the settings. Raises ConfigError with all problems."""
        return Config.resolve(self.arguments, document=self.document)

    @property
    def names(self) -> list[str]:
        """The names of the settings that count as arguments.

        A document has names of exporters, of which each call makes others.
        """
        named = self.document.settings if self.document.wins else ()
        return [*self.arguments, *(name for name in named if name != "exporters")]

    @property
    def names_below(self) -> list[str]:
        """The names of the settings that count as variables."""
        return [] if self.document.wins else [*self.document.settings]

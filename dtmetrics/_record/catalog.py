"""The catalog: the metric keys of a process, and what each was defined as."""

from __future__ import annotations

from functools import partial
from threading import RLock

from dtmetrics._core import log
from dtmetrics._protocol.metadata import Metadata
from dtmetrics._protocol.normalize import RESERVED_PREFIX, clean_key
from dtmetrics._record.definition import Definition
from dtmetrics._record.family import Family
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.options import RecordingOptions
from dtmetrics.errors import ConflictError, DefinitionError, InvalidKeyError

__all__ = ["Catalog"]

# Of how many invalid definitions a process keeps the errors, which are logged once.
_MOST_ERRORS = 1_000


class Catalog:
    """Every family of a process. Families live as long as the process."""

    def __init__(self, invalid_values: InvalidValues) -> None:
        self._invalid_values = invalid_values
        self._options = RecordingOptions()
        # By the key without the prefix, and by the one with it. Keys that differ
        # without a prefix may be equal with it, because it shortens what fits.
        self._by_name: dict[str, Family] = {}
        self._by_key: dict[str, list[Family]] = {}
        self._errors: dict[str, DefinitionError] = {}
        self._lock = RLock()  # re-entrant: a signal handler may define meanwhile

    def all(self) -> list[Family]:
        """Return every family."""
        return list(self._by_name.values())

    def define(
        self, definition: Definition, derived_from: Family | None = None
    ) -> Family:
        """Return the family of an instrument with this *definition*.

        Its points are made of those of the family *derived_from*, if that is given.

        An invalid definition raises a DefinitionError if the settings are strict. Else
        it is logged once, and the family that is returned records nothing.
        """
        name: object = definition.name  # a caller may have passed anything
        key = clean_key(name) if isinstance(name, str) else None
        with self._lock:
            family = self._by_name.get(key or "")
            error = _error_of(definition, key, family)
            if error is None:
                if family is None and len(self._by_name) >= self._most_families:
                    return self._beyond_limit(definition)
                family = family or self._add(key or "", definition)
                family.add_definition(definition)
                family.derived_from = family.derived_from or derived_from
                return family
        self.report(error, "it records nothing")
        family = Family(definition, "", ignore)
        family.void = True
        return family

    def renamed(self, family: Family, name: str) -> Family | None:
        """Return the family that a rule renames *family* to; None without room."""
        with self._lock:
            found = self._by_name.get(name)
            if found is None:
                if len(self._by_name) >= self._most_families:
                    return None
                found = self._add(name, family.definition._replace(name=name))
            found.add_definition(family.definition)
        return found

    def sent_under(self, key: str) -> list[Family]:
        """Return the families that are sent under *key*."""
        return self._by_key.get(key, [])

    def report(self, error: DefinitionError, consequence: str) -> None:
        """Raise *error* if the settings are strict; else log it once."""
        if self._options.strict:
            raise error
        known = self._errors.setdefault(str(error), error)
        if known is error and len(self._errors) <= _MOST_ERRORS:
            log.warning("%s; %s", error, consequence)

    def require_valid(self, options: RecordingOptions) -> None:
        """Raise the first DefinitionError of the process if *options* are strict."""
        if options.strict and self._errors:
            raise next(iter(self._errors.values()))

    def start(self, options: RecordingOptions) -> None:
        """Use *options* from now on, and end every quarantine.

        Raises the first DefinitionError of the process if the options are strict.
        """
        self.require_valid(options)
        with self._lock:
            self._options = options
            self._by_key = {}
            for name, family in self._by_name.items():
                family.quarantined = ""
                family.key = self._with_prefix(name)
                self._by_key.setdefault(family.key, []).append(family)

    def definition_of(self, key: str) -> Definition | None:
        """Return the definition of what is sent under *key*."""
        families = self.sent_under(key)
        return families[0].definition if families else None

    def quarantine(self, key: str, reason: str) -> list[Family]:
        """Mark what is sent under *key* as quarantined, until the next start.

        Returns the families that are sent under it.
        """
        families = self.sent_under(key)
        for family in families:
            if not family.quarantined:
                family.quarantined = reason
                log.warning("%s is quarantined: %s", family.definition, reason)
        return families

    def all_quarantined(self) -> dict[str, str]:
        """Return the reason of each quarantined key."""
        return {
            family.key: family.quarantined
            for family in self.all()
            if family.quarantined
        }

    def collect_metadata(self) -> list[Metadata]:
        """Return the metadata of keys that have been recorded, once for each key.

        A key without unit and description is returned when a definition gives them.
        """
        families = [
            family
            for family in self.all()
            if family.is_sent and family.has_metadata and not family.described
        ]
        for family in families:
            family.described = True
        return [
            Metadata(
                family.key,
                family.definition.kind,
                family.definition.unit,
                family.definition.description,
            )
            for family in families
        ]

    def describe_again(self) -> None:
        """Collect all metadata again: the endpoint has not received it."""
        for family in self.all():
            family.described = False

    def reset_after_fork(self) -> None:
        """In a forked child: drop what the parent recorded, and locks it may hold."""
        # In a free-threaded build another thread of the parent may have held it.
        self._lock = RLock()
        for family in self.all():
            family.reset_after_fork()

    @property
    def _most_families(self) -> int:
        # The default also before configure(): a key without series is small.
        return max(self._options.max_series, RecordingOptions().max_series)

    def _beyond_limit(self, definition: Definition) -> Family:
        """Return a family for which there is no room."""
        family = Family(definition, "", ignore)
        family.void = family.capped = True
        return family

    def _add(self, name: str, definition: Definition) -> Family:
        reject = partial(self._invalid_values.add, definition)
        family = Family(definition, self._with_prefix(name), reject, name=name)
        # One step: a signal handler may have defined it meanwhile.
        found = self._by_name.setdefault(name, family)
        if found is family:
            self._by_key.setdefault(family.key, []).append(family)
        return found

    def _with_prefix(self, name: str) -> str:
        prefix = self._options.prefix
        return (clean_key(f"{prefix}.{name}") if prefix else None) or name


def _error_of(
    definition: Definition, key: str | None, found: Family | None
) -> DefinitionError | None:
    """Return the error of *definition*, beside the family with its *key* if any."""
    if not key:
        return InvalidKeyError(f"no valid metric key in {definition}")
    if key.startswith(RESERVED_PREFIX):
        return InvalidKeyError(
            f"keys that begin with {RESERVED_PREFIX!r} are reserved: {definition}"
        )
    if found is not None and found.definition.kind != definition.kind:
        return ConflictError(f"{definition} is also {found.definition}")
    return None

"""Which metric keys there are: what each was defined as, and what is not recorded.

A metric key names one family of series. Catalog live as long as the process.
"""

from __future__ import annotations

from functools import partial
from threading import RLock

from dtmetrics._core import log
from dtmetrics._protocol.metadata import Metadata
from dtmetrics._protocol.normalize import clean_key
from dtmetrics._record.family import Definition, Family, fault_of
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.options import RecordingOptions
from dtmetrics.errors import DefinitionError

__all__ = ["Catalog"]


class Catalog:
    """Every family of a process, by its key."""

    def __init__(self, refusals: InvalidValues) -> None:
        self._refusals = refusals
        self._settings = RecordingOptions()
        self._families: dict[str, Family] = {}
        self._faults: dict[str, DefinitionError] = {}
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        # In a free-threaded build another thread may have held the old one's lock.
        # Re-entrant: a signal handler may define while its own thread does.
        self._lock = RLock()

    def all(self) -> list[Family]:
        """Return every family there is now."""
        return list(self._families.values())

    def define(self, definition: Definition) -> Family:
        """Return the family of an instrument.

        One that cannot be raises a DefinitionError if settings are strict. Else it
        is said once, and the family belongs to no collection.
        """
        name: object = definition.name  # whatever the types say
        key = clean_key(name) if isinstance(name, str) else None
        family = Family(definition, key or "", partial(self._refusals.add, definition))
        with self._lock:
            found = self._families.get(family.key)
            fault = fault_of(family, found)
            if fault is None:
                found = found or self._families.setdefault(family.key, family)
                found.also(definition)
                return found
        if self._settings.strict:
            raise fault
        family.void = True
        family.refuse = ignore
        if self._faults.setdefault(str(fault), fault) is fault:
            log.warning("%s; it records nothing", fault)
        return family

    def start(self, settings: RecordingOptions) -> None:
        """Go by *settings* from now on, with no family set aside.

        Raises the first DefinitionError so far if they are strict.
        """
        if settings.strict and self._faults:
            raise next(iter(self._faults.values()))
        self._settings = settings
        for family in self.all():
            family.quarantined = ""

    def key_of(self, family: Family) -> str:
        """Return the key that *family* is sent under."""
        prefix = self._settings.prefix
        key = clean_key(f"{prefix}.{family.key}") if prefix else None
        return key or family.key

    def definition_of(self, key: str) -> Definition | None:
        """Return what is sent under *key* was defined as."""
        return next((f.definition for f in self._named(key)), None)

    def quarantine(self, key: str, reason: str) -> list[Family]:
        """Note that nothing more is sent under *key*, until the next start.

        Return the families that are meant: their series have to go.
        """
        named = self._named(key)
        for family in named:
            if not family.quarantined:
                family.quarantined = reason
                log.warning("%s is set aside: %s", family.definition, reason)
        return named

    def all_quarantined(self) -> dict[str, str]:
        """Return why which metric keys are set aside."""
        return {self.key_of(f): f.quarantined for f in self.all() if f.quarantined}

    def collect_metadata(self) -> list[Metadata]:
        """Return what the keys recorded by now mean, each once in a process.

        A key of which nothing is known yet is left for later.
        """
        news = [
            family
            for family in self.all()
            if family.series and family.meaningful and not family.described
        ]
        for family in news:
            family.described = True
        return [
            Metadata(
                self.key_of(f),
                f.definition.kind,
                f.definition.unit,
                f.definition.description,
            )
            for f in news
        ]

    def describe_again(self) -> None:
        """Say anew what all keys mean: the endpoint has not been told."""
        for family in self.all():
            family.described = False

    def reset_after_fork(self) -> None:
        """In a forked child: what was recorded so far is the parent's to send."""
        self._renew()
        for family in self.all():
            family.reset_after_fork()

    def _named(self, key: str) -> list[Family]:
        return [family for family in self.all() if self.key_of(family) == key]

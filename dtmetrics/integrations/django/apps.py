"""``"dtmetrics.integrations.django"`` in ``INSTALLED_APPS``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from django.apps import AppConfig
from django.core.checks import register

from dtmetrics._core import log
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.django.cache import Caches
from dtmetrics.integrations.django.checks import LATE, check
from dtmetrics.integrations.django.database import Databases
from dtmetrics.integrations.django.options import commands, faults, given, of_configure

__all__ = ["DtmetricsConfig"]


class DtmetricsConfig(AppConfig):
    """Configures by the settings dict ``DTMETRICS``, and times queries and caches."""

    name = "dtmetrics.integrations.django"
    label = "dtmetrics"
    verbose_name = "dtmetrics"

    #: Whether ``configure()`` was called before, so that ``DTMETRICS`` comes too late.
    late = False

    def ready(self) -> None:
        """Start, in whatever process Django starts in.

        That may be one that never answers a request: a server that will fork, or the
        parent of ``runserver``. There it starts no thread and sends nothing, as nothing
        is recorded.
        """
        register(check, "dtmetrics")
        options = given() or {}
        if options.get("database", True):
            Databases(
                default.get_meter("dtmetrics.integrations.django.database")
            ).instrument()
        if options.get("cache", True):
            Caches(
                default.get_meter("dtmetrics.integrations.django.cache")
            ).instrument()
        found = faults()
        for fault in found:
            # Not raised: `manage.py check` could not explain it any more, and an image
            # is built by commands that have no token.
            log.warning("%s", fault.text)
        if given() is None or any(fault.id in ("E001", "E003") for fault in found):
            return
        self.late = default.registry.recording
        if self.late:
            log.warning("%s", LATE)
        elif _records(sys.argv, options):
            default.configure(**of_configure(options))


def _records(argv: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Say whether this process is to record: a server, but not `manage.py migrate`."""
    program = PurePath(argv[0] if argv else "")
    manages = (
        program.stem in ("manage", "django-admin")
        or program.parts[-2:] == ("django", "__main__.py")
    )  # fmt: skip
    if not manages:
        return True
    return len(argv) > 1 and argv[1] in commands(options)

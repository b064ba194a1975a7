"""The app ``dtmetrics.integrations.django`` of ``INSTALLED_APPS``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from django.apps import AppConfig
from django.core.checks import register

from dtmetrics._core import log
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.django.cache import CacheInstrumentation
from dtmetrics.integrations.django.checks import CONFIGURED_BEFORE, check
from dtmetrics.integrations.django.database import QueryInstrumentation
from dtmetrics.integrations.django.options import (
    configure_arguments,
    recording_commands,
    settings_dict,
    settings_problems,
)

__all__ = ["DtmetricsConfig"]

_PACKAGE = "dtmetrics.integrations.django"


class DtmetricsConfig(AppConfig):
    """Calls ``configure()`` with ``DTMETRICS``; instruments databases and caches."""

    name = _PACKAGE
    label = "dtmetrics"
    verbose_name = "dtmetrics"

    #: Whether ``configure()`` was called before, so that ``DTMETRICS`` has no effect.
    configured_before = False

    def ready(self) -> None:
        """Start, in every process that Django starts in.

        That may be one that never answers a request: a server before it forks, or the
        parent of ``runserver``. As nothing is recorded there, it starts no thread and
        sends nothing.
        """
        register(check, "dtmetrics")
        options = settings_dict() or {}
        if options.get("database", True):
            meter = default.get_meter(f"{_PACKAGE}.database")
            QueryInstrumentation(meter).instrument()
        if options.get("cache", True):
            meter = default.get_meter(f"{_PACKAGE}.cache")
            CacheInstrumentation(meter).instrument()
        problems = settings_problems()
        for problem in problems:
            # Not raised: `manage.py check` must be able to report it, and commands that
            # build an image have no token.
            log.warning("%s", problem.text)
        if settings_dict() is None or any(p.id in ("E001", "E003") for p in problems):
            return
        self.configured_before = default.registry.recording
        if self.configured_before:
            log.warning("%s", CONFIGURED_BEFORE)
        elif _records(sys.argv, options):
            default.configure(**configure_arguments(options))


def _records(argv: Sequence[str], options: Mapping[str, object]) -> bool:
    """Return whether this process records: a server does, `manage.py migrate` not."""
    program = PurePath(argv[0] if argv else "")
    is_command = (
        program.stem in ("manage", "django-admin")
        or program.parts[-2:] == ("django", "__main__.py")
    )  # fmt: skip
    if not is_command:
        return True
    return len(argv) > 1 and argv[1] in recording_commands(options)

"""The app ``dtmetrics.integrations.django`` of ``INSTALLED_APPS``, with its checks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004 -- Django's
from django.utils.module_loading import import_string

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.django.cache import CacheInstrumentation
from dtmetrics.integrations.django.database import instrument_queries
from dtmetrics.integrations.django.middleware import MetricsMiddleware
from dtmetrics.integrations.django.options import (
    configure_arguments,
    recording_commands,
    settings_dict,
    settings_problems,
)

if TYPE_CHECKING:
    # Django has no types, and a class with an unknown base would have none either.
    AppConfig = object
else:
    from django.apps import AppConfig

__all__ = ["DtmetricsConfig"]

_PACKAGE = "dtmetrics.integrations.django"
_CONFIGURED_BEFORE = "DTMETRICS has no effect: configure() was called before"


class DtmetricsConfig(AppConfig):
    """Calls ``configure()`` with ``DTMETRICS``; instruments databases and caches."""

    name: str = _PACKAGE
    label: str = "dtmetrics"
    verbose_name: str = "dtmetrics"

    #: Whether ``configure()`` was called before, so that ``DTMETRICS`` has no effect.
    configured_before: bool = False

    def ready(self) -> None:
        """Start, in every process that Django starts in.

        That may be one that never answers a request: a server before it forks, or the
        parent of ``runserver``. As nothing is recorded there, it starts no thread and
        sends nothing.
        """
        register(_check, "dtmetrics")
        options = settings_dict() or {}
        if options.get("database", True):
            instrument_queries(default.get_meter(f"{_PACKAGE}.database"))
        if options.get("cache", True):
            CacheInstrumentation(default.get_meter(f"{_PACKAGE}.cache")).instrument()
        problems = settings_problems()
        for problem in problems:
            # Not raised: `manage.py check` must be able to report it, and commands that
            # build an image have no token.
            log.warning("%s", problem.msg)
        prevent = "dtmetrics.E001", "dtmetrics.E003"
        if settings_dict() is None or any(each.id in prevent for each in problems):
            return
        self.configured_before = default.registry.recording
        if self.configured_before:
            log.warning("%s", _CONFIGURED_BEFORE)
        elif _records(sys.argv, options):
            default.configure(**configure_arguments(options))


def _records(argv: Sequence[str], options: Mapping[str, object]) -> bool:
    """Return whether this process records: a server does, `manage.py migrate` not."""
    program = PurePath(argv[0] if argv else "")
    is_django = program.parts[-2:] == ("django", "__main__.py")
    if not is_django and program.stem not in ("manage", "django-admin"):
        return True
    return len(argv) > 1 and argv[1] in recording_commands(options)


def _check(**_: object) -> list[CheckMessage]:
    """Return the problems of ``DTMETRICS`` and ``MIDDLEWARE``, as Django's messages."""
    messages: list[CheckMessage] = [*settings_problems()]
    if apps.get_app_config("dtmetrics").configured_before:
        hint = "Remove one of the two."
        messages.append(Warning(_CONFIGURED_BEFORE, hint=hint, id="dtmetrics.W004"))
    names = list(settings.MIDDLEWARE)
    places = [place for place, name in enumerate(names) if _is_ours(name)]
    if not places:
        hint = f"Put '{_PACKAGE}.MetricsMiddleware' first in MIDDLEWARE."
        text = "requests are not recorded: the middleware is missing"
        return [*messages, Warning(text, hint=hint, id="dtmetrics.W001")]
    if places[0]:
        before = ", ".join(name.rpartition(".")[2] for name in names[: places[0]])
        text = f"the middleware comes after {before}, and does not time these"
        hint = f"Put {names[places[0]]!r} first in MIDDLEWARE."
        messages.append(Warning(text, hint=hint, id="dtmetrics.W002"))
    if len(places) > 1:
        text = "the middleware is listed more than once; only the first records"
        messages.append(Warning(text, id="dtmetrics.W003"))
    return messages


def _is_ours(name: str) -> bool:
    # Django itself reports a path that cannot be imported.
    middleware = call_safely(import_string, name, default=None)
    return isinstance(middleware, type) and issubclass(middleware, MetricsMiddleware)

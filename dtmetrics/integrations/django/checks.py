"""The checks of ``manage.py check``: of ``DTMETRICS`` and of ``MIDDLEWARE``."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from dtmetrics._core.safe_call import call_safely
from dtmetrics.integrations.django.middleware import MetricsMiddleware
from dtmetrics.integrations.django.options import settings_problems

__all__ = ["CONFIGURED_BEFORE", "check"]

_MIDDLEWARE = "dtmetrics.integrations.django.MetricsMiddleware"
CONFIGURED_BEFORE = "DTMETRICS has no effect: configure() was called before"


def check(**_: object) -> list[checks.CheckMessage]:
    """Return the problems of ``DTMETRICS`` and ``MIDDLEWARE``, as Django's messages."""
    messages: list[checks.CheckMessage] = [
        checks.Error(each.text, hint=each.hint or None, id=f"dtmetrics.{each.id}")
        for each in settings_problems()
    ]
    if apps.get_app_config("dtmetrics").configured_before:
        hint = "Remove one of the two."
        messages.append(
            checks.Warning(CONFIGURED_BEFORE, hint=hint, id="dtmetrics.W004")
        )
    names = list(settings.MIDDLEWARE)
    places = [place for place, name in enumerate(names) if _is_ours(name)]
    if not places:
        hint = f"Put {_MIDDLEWARE!r} first in MIDDLEWARE."
        text = "requests are not recorded: the middleware is missing"
        return [*messages, checks.Warning(text, hint=hint, id="dtmetrics.W001")]
    if places[0]:
        before = ", ".join(name.rpartition(".")[2] for name in names[: places[0]])
        text = f"the middleware comes after {before}, and does not time these"
        hint = f"Put {names[places[0]]!r} first in MIDDLEWARE."
        messages.append(checks.Warning(text, hint=hint, id="dtmetrics.W002"))
    if len(places) > 1:
        text = "the middleware is listed more than once; only the first records"
        messages.append(checks.Warning(text, id="dtmetrics.W003"))
    return messages


def _is_ours(name: str) -> bool:
    # Django itself reports a path that cannot be imported.
    middleware = call_safely(import_string, name, default=None)
    return isinstance(middleware, type) and issubclass(middleware, MetricsMiddleware)

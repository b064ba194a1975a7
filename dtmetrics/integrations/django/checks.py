"""What ``manage.py check`` says of the settings."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from dtmetrics._core.safe_call import call_safely
from dtmetrics.integrations.django.middleware import MetricsMiddleware
from dtmetrics.integrations.django.options import faults

__all__ = ["LATE", "check"]

_NAME = "dtmetrics.integrations.django.MetricsMiddleware"
LATE = "DTMETRICS configures nothing: configure() was called before"


def check(**_: Any) -> list[checks.CheckMessage]:
    """Return what is wrong with ``DTMETRICS`` and ``MIDDLEWARE``."""
    found: list[checks.CheckMessage] = [
        checks.Error(fault.text, hint=fault.hint or None, id=f"dtmetrics.{fault.id}")
        for fault in faults()
    ]
    if apps.get_app_config("dtmetrics").late:
        hint = "Have one of them alone."
        found.append(checks.Warning(LATE, hint=hint, id="dtmetrics.W004"))
    names = list(settings.MIDDLEWARE)
    at = [place for place, name in enumerate(names) if _is_ours(name)]
    if not at:
        hint = f"Put {_NAME!r} first in MIDDLEWARE."
        text = "requests are not measured: the middleware is missing"
        return [*found, checks.Warning(text, hint=hint, id="dtmetrics.W001")]
    if at[0]:
        before = ", ".join(name.rpartition(".")[2] for name in names[: at[0]])
        text = f"the middleware comes after {before}, and does not measure these"
        hint = f"Put {names[at[0]]!r} first in MIDDLEWARE."
        found.append(checks.Warning(text, hint=hint, id="dtmetrics.W002"))
    if len(at) > 1:
        text = "the middleware is there more than once; the first measures"
        found.append(checks.Warning(text, id="dtmetrics.W003"))
    return found


def _is_ours(name: str) -> bool:
    # A path that leads nowhere is Django's to complain about.
    middleware = call_safely(import_string, name, default=None)
    return isinstance(middleware, type) and issubclass(middleware, MetricsMiddleware)

"""Metrics of a Django application: its requests, queries and caches.

::

    INSTALLED_APPS = ["dtmetrics.integrations.django", ...]
    # First, so that it times the others.
    MIDDLEWARE = ["dtmetrics.integrations.django.MetricsMiddleware", ...]
    DTMETRICS = {"dimensions": {"service": "shop"}}

Reading order: ``options`` (what the settings may be), ``middleware`` (a request),
``database`` and ``cache`` (who is timed), ``checks`` (what `manage.py check` says),
``apps`` (where they are put together).
"""

from __future__ import annotations

from dtmetrics.integrations.django.middleware import MetricsMiddleware

__all__ = ["MetricsMiddleware"]

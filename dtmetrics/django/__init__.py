"""Metrics of a Django application: its requests, queries and caches.

::

    INSTALLED_APPS = ["dtmetrics.django", ...]
    MIDDLEWARE = ["dtmetrics.django.MetricsMiddleware", ...]  # first: it times the rest
    DTMETRICS = {"dimensions": {"service": "shop"}}

Reading order: ``options`` (what the settings may be), ``middleware`` (a request),
``database`` and ``cache`` (who is timed), ``checks`` (what `manage.py check` says),
``apps`` (where they are put together).
"""

from __future__ import annotations

from dtmetrics.django.middleware import MetricsMiddleware

__all__ = ["MetricsMiddleware"]

"""Metrics of a Django application: its requests, queries and caches.

::

    INSTALLED_APPS = ["dtmetrics.integrations.django", ...]
    # First, so that it times the other middlewares too.
    MIDDLEWARE = ["dtmetrics.integrations.django.MetricsMiddleware", ...]
    DTMETRICS = {"dimensions": {"service": "shop"}}

``DTMETRICS`` takes the settings of ``dtmetrics.configure()``; the options of
`dtmetrics.integrations.asgi.MetricsMiddleware`, with ``request_dimensions`` in place of
``dimensions``; ``database`` and ``cache`` (False to leave these out); and ``commands``
(the commands of ``manage.py`` that record, by default ``["runserver"]``). The app's
label, and the tag of its checks, is ``dtmetrics``.
"""

from __future__ import annotations

from dtmetrics.integrations.django.middleware import MetricsMiddleware

__all__ = ["MetricsMiddleware"]

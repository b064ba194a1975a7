"""Metrics of a Django application: its requests, queries and caches.

::

    INSTALLED_APPS = ["dtmetrics.integrations.django", ...]
    # First, so that it times the other middlewares too.
    MIDDLEWARE = ["dtmetrics.integrations.django.MetricsMiddleware", ...]
    DTMETRICS = {"dimensions": {"service": "shop"}, "exclude": "/health"}

Requests are recorded as ``http.server.request.duration``, queries as
``db.client.operation.duration`` and operations on caches as
``django.cache.operation.duration``, all in seconds. ``DTMETRICS`` takes:

- every setting of ``dtmetrics.configure()`` but ``force``; the app calls it with them;
- ``exclude``, ``active_requests``, ``body_sizes``, ``known_methods``,
  ``time_to_first_byte`` and ``meter``, the options of
  `dtmetrics.integrations.asgi.MetricsMiddleware`;
- ``request_dimensions`` (callable or str, default none): called with Django's request
  when the response was sent; returns a mapping of further dimensions. If it takes a
  second argument, that is a `dtmetrics.integrations.Response`, with ``status`` and
  ``headers``. A str is the dotted path of the callable;
- ``simplify_routes`` (bool, default False): write the expressions of ``re_path()``, and
  with them the routes of Django REST framework, in the form of ``path()``, such as
  ``/items/<pk>/``;
- ``database`` (bool, default True): record queries;
- ``cache`` (bool, default True): record operations on caches;
- ``commands`` (list of str, default ``["runserver"]``): the commands of ``manage.py``
  that record. A server always does.

``manage.py check`` reports what is wrong with it. A server logs that and continues
without metrics. The app's label, and the tag of its checks, is ``dtmetrics``.

>>> from dtmetrics.integrations.django import MetricsMiddleware
>>> MetricsMiddleware.async_capable
True
"""

from __future__ import annotations

from dtmetrics.integrations.django.middleware import MetricsMiddleware

__all__ = ["MetricsMiddleware"]

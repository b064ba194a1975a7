"""One module or package for each library that is instrumented.

The meter that records is, unless ``meter=`` names another, called like the integration:
``dtmetrics.integrations.asgi``, ``.wsgi``, ``.fastapi``, ``.flask``, ``.litestar``,
``.starlette``, ``.httpx``, ``.requests``, ``.sqlalchemy``, ``.celery``, ``.dask``,
``.rq``, ``.asyncio``, ``.logging``, ``.executors``, ``.caches``; of Django
``dtmetrics.integrations.django`` for requests, and below it ``.database`` and
``.cache``. Levels can be set by these names, for one of them or, by a common beginning,
for several:

>>> import dtmetrics
>>> levels = {"dtmetrics.integrations": "WARNING"}  # records none of them
>>> dtmetrics.configure(levels=levels, exporter=dtmetrics.MemoryExporter())
>>> dtmetrics.shutdown()
True

`Response` is what a ``dimensions=`` of two arguments gets as the second.
"""

from __future__ import annotations

from dtmetrics._instrument.users_dimensions import Response

__all__ = ["Response"]

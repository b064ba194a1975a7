"""The development endpoint: it judges every line as Dynatrace does, and shows it.

It stands where a OneAgent or a Dynatrace environment would, on this computer only,
so that an application can be tried out without either. For development only: what
arrives is kept in memory for some minutes and shown to whoever asks.

Reading order, which is the way of a body: ``guard`` (who may ask), ``app`` (what can
be asked), ``body`` (a request's body, read no further than allowed), ``judge`` (a
body's lines, accepted or refused), ``store`` (what arrived lately), ``page`` (the
same for eyes), ``server`` (all of it behind a socket).

``serve()`` is what ``dtmetrics dev`` runs; ``running()`` is the same inside another
program, such as a test.
"""

from __future__ import annotations

try:
    from dtmetrics.receiver.app import create_app
    from dtmetrics.receiver.judge import Verdict, judge
    from dtmetrics.receiver.server import running, serve
    from dtmetrics.receiver.store import Store
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in {"anyio", "starlette", "uvicorn"}:
        raise
    raise ImportError(
        "the dtmetrics receiver needs starlette and uvicorn: "
        'pip install "dtmetrics[receiver]"'
    ) from missing

__all__ = ["Store", "Verdict", "create_app", "judge", "running", "serve"]

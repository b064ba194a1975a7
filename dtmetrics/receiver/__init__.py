"""A development endpoint that checks every line as Dynatrace does and shows it.

It replaces a OneAgent or a Dynatrace environment on the developer's own computer.
``serve()`` is what ``dtmetrics dev`` runs; ``running()`` is the same within another
program, such as a test. What arrives stays in memory for ten minutes, and everything
that can connect may read it: it is not for production.

A request passes through these modules in this order: ``server`` (the socket), ``app``
(the addresses), ``verdict`` (each line accepted or rejected), ``store`` (what arrived
lately) and ``page`` (the same as HTML).
"""

from __future__ import annotations

try:
    from dtmetrics.receiver.app import create_app
    from dtmetrics.receiver.server import running, serve
    from dtmetrics.receiver.store import Store
    from dtmetrics.receiver.verdict import Verdict, check_lines
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] not in {"anyio", "starlette", "uvicorn"}:
        raise
    raise ImportError(
        "the dtmetrics receiver needs starlette and uvicorn: "
        'pip install "dtmetrics[receiver]"'
    ) from _missing

__all__ = ["Store", "Verdict", "check_lines", "create_app", "running", "serve"]

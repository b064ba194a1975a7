"""httpx, imported without what a post does not need.

``import httpx`` imports its command line as well, and with it click, pygments and rich
where they are installed: 43 ms of 78. Where they are not, httpx replaces its ``main()``
by one that prints the reason. The same happens here, unless the program has imported
httpx before.

httpx imports httpcore with the first transport, and httpcore imports trio if it is
installed. Where eventlet has replaced the sockets, trio cannot be imported, and raises
an AttributeError. httpcore is then imported without it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["httpx"]


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Let these modules be missing in a block, unless they are imported."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


if "httpx" in sys.modules:
    import httpx
else:
    with _without("httpx._main"):
        import httpx

try:
    importlib.import_module("httpcore")
except Exception:  # noqa: BLE001 -- trio's, and not an ImportError
    with _without("trio"):
        importlib.import_module("httpcore")

"""Posts batches to a Dynatrace endpoint over HTTP.

It uses httpx's transport and not its client: no redirect is followed, no proxy and no
cookie comes from the environment, and nothing is logged for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dtmetrics._core.secret import Secret
from dtmetrics._export.compression import Compression
from dtmetrics._export.connections import Connections, Route, new_transport
from dtmetrics._export.http_library import httpx
from dtmetrics._export.http_request import Endpoint, HttpRequest, Timeouts, host_of
from dtmetrics._export.tls import TlsContext
from dtmetrics._export.token import Token
from dtmetrics.exporters import Batch, ExportResult

__all__ = ["HttpExporter", "preload"]

_NO_TOKEN = Secret("")
_DIRECT = Route()

# A OneAgent listens on this host, and so answers sooner.
_LOCAL_TIMEOUTS = Timeouts(connect=1.0, step=3.0, total=5.0)
_REMOTE_TIMEOUTS = Timeouts(connect=3.0, step=10.0, total=15.0)


class HttpExporter:
    """Posts batches to *endpoint*, with *token* if there is one.

    *local* selects the shorter timeouts of a OneAgent on this host. With *resend*, a
    batch is sent once more if the server had closed the idle connection that carried
    it; without, connections are not reused. *route* has a proxy and the certificates to
    use. *transport* makes the transport of a connection.
    """

    def __init__(
        self,
        endpoint: str,
        token: Secret | Token = _NO_TOKEN,
        *,
        local: bool = False,
        resend: bool = True,
        route: Route = _DIRECT,
        transport: Callable[[], httpx.BaseTransport] | None = None,
    ) -> None:
        proxy = route.parse_proxy()
        self._endpoint = Endpoint(
            url=httpx.URL(endpoint),
            token=token if isinstance(token, Token) else Token(token),
            timeouts=_LOCAL_TIMEOUTS if local else _REMOTE_TIMEOUTS,
            proxy="" if proxy is None else host_of(proxy.url),
        )
        # Made here and not with the first request: see preload().
        urls = self._endpoint.url, *(() if proxy is None else (proxy.url,))
        https = any(url.scheme == "https" for url in urls)
        self._tls = TlsContext(route.files, https=https)
        self._connections = Connections(
            transport
            # Without resend a connection that the server closes while it is idle would
            # cost a batch, so none is kept.
            or partial(new_transport, self._tls, proxy=proxy, keep_alive=resend)
        )
        self._compression = Compression()

    @property
    def destination(self) -> str:
        """The host of the endpoint, with its port."""
        return self._endpoint.host

    @property
    def max_seconds(self) -> float:
        """How long one export may take at most."""
        return self._endpoint.timeouts.total

    def compress(self) -> None:
        """Compress what is posted from now on, unless the endpoint rejects it."""
        self._compression.enable()

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Post *batch* within about *timeout* seconds and return the result."""
        return self.prepare(batch).send(timeout)

    def prepare(self, batch: Batch) -> HttpRequest:
        """Return the request that posts *batch*; another thread may abort it."""
        if self._tls.renew():
            self._connections.close()
        return HttpRequest(
            batch,
            endpoint=self._endpoint,
            connections=self._connections,
            compression=self._compression,
        )

    def close(self) -> None:
        """Close the idle connections. A later export opens new ones."""
        self._connections.close()

    def reset_after_fork(self) -> None:
        """In a forked child, drop the parent's connections: their responses are its."""
        self._connections.reset_after_fork()


def preload() -> None:
    """Import all that a request needs, in the thread that calls ``configure()``.

    httpx imports the modules of its transport with the first request. If the process
    forks while the flusher does that, the child inherits a locked import lock and hangs
    forever: 42 of 4,800 forks, and none of 4,000 with everything imported before. The
    same is true of OpenSSL, which holds locks of its own while it makes a context: 1 of
    1,500 forks, and none of 1,200 with a context made before.
    """
    import encodings.idna  # noqa: F401, PLC0415
    import stringprep  # noqa: F401, PLC0415

    new_transport(TlsContext(_DIRECT.files, https=False)).close()

"""Metrics of any WSGI application.

>>> from dtmetrics.integrations.wsgi import MetricsMiddleware
>>> def application(environ, start_response):
...     start_response("200 OK", [])
...     return [b"hello"]
>>> application = MetricsMiddleware(application)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.semconv import announced
from dtmetrics._instrument.server import ERROR, MEASURED, ROUTE, Request, Requests

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dtmetrics._instrument.server import Options

__all__ = ["MetricsMiddleware"]

Environ = dict[str, Any]
Application = Callable[..., Iterable[bytes]]


class MetricsMiddleware:
    """Measures each request to *app*, until the last byte of its answer was sent.

    Nothing of the answer changes. A framework, or the application itself, may leave
    the route of a request in ``environ["dtmetrics.route"]``. Options are those of
    `dtmetrics.integrations.asgi.MetricsMiddleware`; ``dimensions=`` is given the
    environ.
    """

    def __init__(self, app: Application, **options: Unpack[Options]) -> None:
        self.app = app
        self._requests = Requests(**options)

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request, as WSGI wants it."""
        if MEASURED in environ:
            return self.app(environ, start_response)
        requests, get = self._requests, environ.get
        request = requests.begin(
            get("REQUEST_METHOD"),
            get("wsgi.url_scheme"),
            get("SERVER_PROTOCOL"),
            None if requests.excludes is None else _path_of(environ),
            environ,
        )
        if request is None:
            return self.app(environ, start_response)
        environ[MEASURED] = True
        exchange = _Exchange(request, environ, start_response)
        if requests.body_sizes:
            request.request_size = announced(get("CONTENT_LENGTH"))
            request.response_size = 0
        try:
            result: Any = self.app(environ, exchange.start_response)
        except BaseException as error:
            exchange.end(error)
            raise
        if result is None:  # some servers take it for an empty body
            exchange.end(whole=True)
        elif _is_file(result, environ):
            exchange.follow(result)
        else:
            body = _SizedBody if hasattr(result, "__len__") else _Body
            result = body(result, exchange)
        return result  # type: ignore[no-any-return]


class _Exchange:
    """A request and what was said in answer."""

    __slots__ = ("_environ", "_request", "_start", "_status", "_write", "begun")

    _write: Callable[[bytes], object]

    def __init__(
        self, request: Request, environ: Environ, start: Callable[..., Any]
    ) -> None:
        self._request = request
        self._environ = environ
        self._start = start
        self._status: str | None = None
        #: Whether the server has got something to send, and so has sent the status.
        self.begun = False

    def end(self, error: BaseException | None = None, *, whole: bool = False) -> None:
        """Record it, once; *whole*: the server has got all that there is."""
        if self._request.ended:
            return
        environ, status = self._environ, self._status
        get = environ.get
        if error is None:
            error = get(ERROR)
            if status is None and (whole or self.begun):
                status = "500"  # no server can send what has no status
        elif not self.begun:
            status = None  # the server has another answer
        self._request.end(status, get(ROUTE), error, get("wsgi.url_scheme"))
        environ.pop(MEASURED, None)

    def pieces(self, result: Any) -> Callable[[], bytes]:
        """Return what gives each piece of *result*."""
        step: Callable[[], bytes] = iter(result).__next__
        if self._request.response_size is None:
            return step

        def counted() -> bytes:
            piece = step()
            self._count(piece)
            return piece

        return counted

    def start_response(self, status: str, *args: Any, **kwargs: Any) -> Any:
        """Start as the server does; return the old way to send a body."""
        self._write = self._start(status, *args, **kwargs)
        self._status = status
        return self.write

    def write(self, piece: bytes) -> object:
        """Send *piece* as the server does."""
        said = self._write(piece)
        self.begun = True
        if self._request.response_size is not None:
            self._count(piece)
        return said

    def _count(self, piece: bytes) -> None:
        size = self._request.response_size or 0
        self._request.response_size = size + call_safely(len, piece, default=0)

    def follow(self, file: Any) -> None:
        """Record it when the server closes *file*, which has to stay what it is."""
        self._request.response_size = None  # it may never pass through Python
        self.begun = True
        close = getattr(file, "close", None)

        def closed() -> None:
            try:
                if close is not None:
                    close()
            except BaseException as error:
                self.end(error)
                raise
            self.end()

        if call_safely(setattr, file, "close", closed, default=self) is self:
            self.end()  # such a server sends it by means of its own


class _Body:
    """The body of an answer, passed on piece by piece."""

    __slots__ = ("_exchange", "_next", "_result")

    def __init__(self, result: Any, exchange: _Exchange) -> None:
        self._result = result
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            self._next = self._exchange.pieces(self._result)
        except BaseException as error:
            self._exchange.end(error)
            raise
        return self

    def __next__(self) -> bytes:
        exchange = self._exchange
        try:
            piece = self._next()
        except StopIteration:
            exchange.end(whole=True)
            raise
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.begun = True
        return piece

    def close(self) -> None:
        """Close what the application gave, as servers have to."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._exchange.end(error)
            raise
        self._exchange.end()

    def __del__(self) -> None:
        self._exchange.end()  # who forgets to close it leaves nobody inside


class _SizedBody(_Body):
    """One whose length the server may ask for: it makes a Content-Length of it."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._result)


def _path_of(environ: Environ) -> str:
    return f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"


def _is_file(result: object, environ: Environ) -> bool:
    """Say whether the server will know *result* as its own, and send a file by it."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    # uWSGI's is a function that gives back what it got, and remembers it.
    return wrapper is not None and hasattr(result, "read")

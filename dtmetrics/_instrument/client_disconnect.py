"""What an application raises because its client has left.

Servers and frameworks each have their own way: an exception of a known type, a
cancellation, or an ``OSError`` from the object that reads the body.
"""

from __future__ import annotations

from collections.abc import Iterator
from gc import get_referents

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import class_name, error_type
from dtmetrics._instrument.semconv import sole_exception

__all__ = ["is_cancelled_by_server", "is_client_disconnect"]

_MAX_CHAIN = 16  # of exceptions that were raised because of another

_TYPES = frozenset(
    (
        "django.core.exceptions.RequestAborted",
        "django.http.request.UnreadablePostError",
        "falcon.errors.WebSocketDisconnected",
        "litestar.exceptions.websocket_exceptions.WebSocketDisconnect",
        "starlette.requests.ClientDisconnect",
        "starlette.websockets.WebSocketDisconnect",
        "werkzeug.exceptions.ClientDisconnected",
    )
)


# cheroot raises a ValueError where a chunk is cut off.
_OF_READERS = (OSError, EOFError, ValueError)


def is_client_disconnect(error: BaseException, wsgi_input: object = None) -> bool:
    """Return whether *error* was raised because the client left.

    *wsgi_input* is ``environ["wsgi.input"]``, which raises an OSError then, for
    instance. A connection to a database may raise the same: what counts is where.
    """
    for each in _chain(sole_exception(error)):
        if any(class_name(kind) in _TYPES for kind in type(each).__mro__):
            return True
        if wsgi_input is None or not isinstance(each, _OF_READERS):
            continue
        if _is_raised_by(each, wsgi_input) or _is_of_server_in_c(each):
            return True
    return False


def is_cancelled_by_server(error: BaseException) -> bool:
    """Return whether *error* ends a task that a server cancelled.

    Servers do so when the client has left (gunicorn, daphne) and when they stop. An
    application that awaits a cancelled task of its own raises the same exception;
    Python 3.10 does not show which of the two it is.
    """
    kind = error_type(sole_exception(error))
    if kind == "trio.Cancelled":
        return True
    if kind != "asyncio.exceptions.CancelledError":
        return False
    from asyncio import current_task  # noqa: PLC0415 -- 30 ms, and seldom needed

    # In a thread of Django there is no task.
    task = call_safely(current_task, default=None)
    cancelling = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error*, and what it was raised because of."""
    for _ in range(_MAX_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _is_raised_by(error: BaseException, wsgi_input: object) -> bool:
    """Return whether a method of *wsgi_input* raised *error*."""
    readers = wsgi_input, getattr(wsgi_input, "raw", wsgi_input)
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        # Not by f_locals: before Python 3.13 that stores a copy of the variables in the
        # frame, with the exception, which holds the frame: a cycle.
        held = get_referents(frame)
        for reader in readers:
            is_held = any(reader is each for each in held)
            if is_held and hasattr(type(reader), frame.f_code.co_name):
                return True
        trace = trace.tb_next
    return False


def _is_of_server_in_c(error: BaseException) -> bool:
    """Return whether uWSGI or mod_wsgi raised *error*, which read without a frame.

    An example is "error during read(9) on wsgi.input". An exception of the operating
    system also has a number.
    """
    return (
        isinstance(error, OSError)
        and error.errno is None
        and "wsgi" in call_safely(str, error, default="")
    )

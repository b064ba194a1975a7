"""Which route Starlette, FastAPI and what builds upon them have matched.

They leave it in the scope, each version in its own way: measured with Starlette 0.37
and 1.10, FastAPI 0.110, 0.136 and 0.165. A path that was mounted with parameters is
there with their values, so its template is looked up. And what it means that they
raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import alone

__all__ = ["Routes", "comes_from_the_background", "says_that_a_client_left"]

_KEPT = 1024
_LAYERS = 16  # of middlewares, at most, around what is mounted
_REST = "/{path}"  # how the template of what is mounted ends

# A template, an expression that its paths match, and the same of another.
_Found = tuple[str, Sequence[Any]]


_LEFT = frozenset(
    ("starlette.requests.ClientDisconnect", "starlette.websockets.WebSocketDisconnect")
)


def says_that_a_client_left(error: BaseException) -> bool:
    """Say whether *error* is how a view is told that its client has left."""
    return error_type(alone(error)) in _LEFT


def comes_from_the_background(error: BaseException) -> bool:
    """Say whether a task that was to run after an answer has raised *error*."""
    trace = alone(error).__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "starlette.background":
            return True
        trace = trace.tb_next
    return False


class Routes:
    """Finds the route of a scope, and remembers what takes long to find."""

    def __init__(self) -> None:
        self._literal: dict[str, _Found] = {}
        self._leaves: dict[Any, list[Any]] = {}

    def of(self, scope: Mapping[str, Any]) -> str | None:
        """Return the route's template, with all before it; None if none matched.

        To be asked when the application has routed. Raises what a scope of unknown
        making makes it raise.
        """
        route = scope.get("route")
        template = _template_of(route, scope)
        if template is None and "endpoint" not in scope:
            return None
        root: str = scope.get("root_path", "")
        base: str = scope.get("app_root_path", root)  # that of the outermost
        prefix, routes = self._mounted(scope["router"], root[len(base) :])
        if template is None:
            template = self._searched(scope, root, prefix, routes)
        return None if template is None else f"{base}{prefix}{template}"

    def _mounted(self, router: Any, path: str) -> _Found:
        """Return the template of a mounted *path*, and the routes that are there."""
        if not path:
            return "", router.routes
        found = self._literal.get(path)
        if found is None:
            found = _descend(router.routes, path) or ("", ())
            if found[0] == path and len(self._literal) < _KEPT:
                self._literal[path] = found
        return found

    def _searched(
        self, scope: Mapping[str, Any], root: str, prefix: str, routes: Sequence[Any]
    ) -> str | None:
        """Return the template of a plain route, of which there is only the endpoint."""
        endpoint = scope["endpoint"]
        if prefix and not routes:  # files, or an application of another framework
            return _REST
        key = prefix, endpoint
        leaves = self._leaves.get(key)
        if leaves is None:
            leaves = [r for r in _here(routes) if r.endpoint is endpoint]
            if len(self._leaves) < _KEPT:
                self._leaves[key] = leaves
        if len(leaves) > 1:
            path = scope["path"].removeprefix(root)
            leaves = [leaf for leaf in leaves if leaf.path_regex.match(path)]
        return leaves[0].path_format if leaves else None


def _template_of(route: Any, scope: Mapping[str, Any]) -> str | None:
    """Return the template of a route with an endpoint, as its router knows it."""
    if getattr(route, "endpoint", None) is None:
        return None
    # FastAPI from 0.137 on keeps there what was included, with its prefixes.
    inside = scope.get("fastapi")
    if isinstance(inside, dict):
        context = inside.get("effective_route_context")
        if getattr(context, "original_route", None) is route:
            return context.path_format  # type: ignore[union-attr, no-any-return]
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def _descend(routes: Sequence[Any], path: str) -> _Found | None:
    """Return the template of what is mounted at *path* below *routes*."""
    for mount in _flat(routes):
        inner = _inside(mount)
        expression = getattr(mount, "path_regex", None)
        if expression is None:  # for a host
            if found := _descend(inner, path):
                return found
            continue
        match = expression.match(f"{path}/")
        if (
            match is None
            or "path" not in match.groupdict()
            or hasattr(mount, "endpoint")
        ):
            continue
        template = mount.path_format.removesuffix(_REST)
        rest = match["path"].removesuffix("/")
        if not rest:
            return template, inner
        if found := _descend(inner, f"/{rest}"):
            return template + found[0], found[1]
    return None


def _inside(mount: Any) -> Sequence[Any]:
    """Return the routes of what is mounted, through middlewares that are around it."""
    for _ in range(_LAYERS):
        routes = getattr(mount, "routes", None)
        if routes:
            return routes  # type: ignore[no-any-return]
        mount = getattr(mount, "app", None)
    return ()


def _here(routes: Sequence[Any]) -> Iterator[Any]:
    """Yield those of *routes* that have an endpoint, and those of hosts among them."""
    for route in _flat(routes):
        if hasattr(route, "endpoint"):
            yield route
        elif not hasattr(route, "path_regex"):
            yield from _here(getattr(route, "routes", None) or ())


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    """Yield *routes*, and in place of a router that FastAPI has included its own."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            for context in contexts():
                yield context.starlette_route or context.original_route

"""The routes of Starlette and FastAPI, and the meaning of what they raise.

A router leaves its route in the scope, each version in its own way: measured with
Starlette 0.37 and 1.10, FastAPI 0.110, 0.136 and 0.165. The scope holds a mounted path
with the values of its parameters, so the template is looked up in the router.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

from dtmetrics._instrument.semconv import sole_exception
from dtmetrics._instrument.server_request import INSTRUMENTED

__all__ = ["Routes", "is_from_background_task", "watch_routers"]

_CACHED = 1024
_MAX_LAYERS = 16  # of middlewares around a mounted application
_REST = "/{path}"  # the end of a mount's template

# The template of a mount, and the routes below it.
_Mount = tuple[str, Sequence[Any]]


def watch_routers() -> None:
    """Have each router of Starlette leave its scope in the request that is recorded.

    A router leaves its route in the scope that it gets. Where a middleware has passed
    on a copy, as the specification of ASGI demands of one that changes it, the route is
    in the copy alone, and Starlette has no hook that sees it. Does nothing the second
    time, or if Starlette is not in use.
    """
    router: Any = getattr(sys.modules.get("starlette.routing"), "Router", None)
    if router is None or hasattr(router.__call__, "is_dtmetrics"):
        return
    call = router.__call__

    @wraps(call)
    async def call_and_leave_scope(
        self: Any,  # noqa: ANN401 -- of many versions
        scope: Any,  # noqa: ANN401 -- of many versions
        receive: object,
        send: object,
    ) -> None:
        request = scope.get(INSTRUMENTED)
        if request is not None:
            request.scope = scope
        await call(self, scope, receive, send)

    call_and_leave_scope.is_dtmetrics = True  # type: ignore[attr-defined]
    router.__call__ = call_and_leave_scope


def is_from_background_task(error: BaseException) -> bool:
    """Return whether a task that runs after the response raised *error*."""
    trace = sole_exception(error).__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "starlette.background":
            return True
        trace = trace.tb_next
    return False


class Routes:
    """Finds the route of a scope, with a cache for what takes long to find."""

    def __init__(self) -> None:
        self._mounts: dict[str, _Mount] = {}
        self._leaves: dict[tuple[str, Any], list[Any]] = {}

    def template(self, scope: Mapping[str, Any]) -> str | None:
        """Return the full template of the matched route; None if none matched.

        Call it after the application has routed. Raises any exception, where the scope
        is not a router's of a known version.
        """
        route = scope.get("route")
        template = _template_of(route, scope)
        if template is None and "endpoint" not in scope:
            return None
        root: str = scope.get("root_path", "")
        base: str = scope.get("app_root_path", root)  # of the outermost application
        prefix, routes = self._mount_at(scope["router"], root[len(base) :])
        if template is None:
            template = self._template_of_endpoint(scope, root, prefix, routes)
        return None if template is None else f"{base}{prefix}{template}"

    def _mount_at(self, router: Any, path: str) -> _Mount:  # noqa: ANN401 -- of many versions
        """Return the mount at *path*."""
        if not path:
            return "", router.routes
        mount = self._mounts.get(path) or _descend(router.routes, path) or ("", ())
        # Only mounts without parameters: of these there are few.
        if mount[0] == path and len(self._mounts) < _CACHED:
            self._mounts[path] = mount
        return mount

    def _template_of_endpoint(
        self, scope: Mapping[str, Any], root: str, prefix: str, routes: Sequence[Any]
    ) -> str | None:
        """Return the template of a plain route: only its endpoint is in the scope."""
        endpoint = scope["endpoint"]
        if prefix and not routes:  # files, or an application of another framework
            return _REST
        key = prefix, endpoint
        leaves = self._leaves.get(key)
        if leaves is None:
            leaves = [r for r in _leaves(routes) if _endpoint(r) is endpoint]
            if len(self._leaves) < _CACHED:
                self._leaves[key] = leaves
        if len(leaves) > 1:
            path = scope["path"].removeprefix(root)
            leaves = [leaf for leaf in leaves if leaf.path_regex.match(path)]
        return leaves[0].path_format if leaves else None


# The objects below are of many versions of Starlette and FastAPI: hence `Any`.


def _template_of(route: Any, scope: Mapping[str, Any]) -> str | None:  # noqa: ANN401 -- of many versions
    """Return the template of a route with an endpoint, as its router has it."""
    if getattr(route, "endpoint", None) is None:
        return None
    # FastAPI from 0.137 on keeps there what was included, with its prefixes.
    inside = scope.get("fastapi")
    if isinstance(inside, dict):
        context = inside.get("effective_route_context")
        if getattr(context, "original_route", None) is route:
            return context.path_format  # type: ignore[union-attr, no-any-return]
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def _descend(routes: Sequence[Any], path: str) -> _Mount | None:
    """Return the mount at *path* below *routes*."""
    for mount in _flat(routes):
        inner = _routes_of(mount)
        expression = getattr(mount, "path_regex", None)
        if expression is None:  # a host
            if found := _descend(inner, path):
                return found
            continue
        is_mount = not hasattr(mount, "endpoint")
        match = expression.match(f"{path}/") if is_mount else None
        if match is None or "path" not in match.groupdict():
            continue
        template = mount.path_format.removesuffix(_REST)
        rest = match["path"].removesuffix("/")
        if not rest:
            return template, inner
        if found := _descend(inner, f"/{rest}"):
            return template + found[0], found[1]
    return None


def _routes_of(mount: Any) -> Sequence[Any]:  # noqa: ANN401 -- of many versions
    """Return the routes of a mounted application, through middlewares around it."""
    for _ in range(_MAX_LAYERS):
        routes = getattr(mount, "routes", None)
        if routes:
            return routes  # type: ignore[no-any-return]
        mount = getattr(mount, "app", None)
    return ()


def _leaves(routes: Sequence[Any]) -> Iterator[Any]:
    """Yield the routes that have an endpoint, with those that add nothing to a path.

    These are the routes of hosts, and of mounts at "" or "/". Such a mount without
    routes, as of files, is yielded itself.
    """
    for route in _flat(routes):
        if hasattr(route, "endpoint"):
            yield route
        elif not getattr(route, "path", ""):
            inner = _routes_of(route)
            yield from _leaves(inner) if inner else (route,)


def _endpoint(leaf: Any) -> object:  # noqa: ANN401 -- of many versions
    """Return what a scope has as its endpoint, where *leaf* was matched."""
    return leaf.endpoint if hasattr(leaf, "endpoint") else getattr(leaf, "app", None)


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    """Yield *routes*; in place of a router that FastAPI included, its routes."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            for context in contexts():
                yield context.starlette_route or context.original_route

"""Routes as Django's resolver has them, written as paths."""

from __future__ import annotations

import re
from functools import lru_cache

from dtmetrics.integrations.django.options import settings_dict

__all__ = ["as_path"]

# What only an expression has: a group, an anchor or an escape.
_EXPRESSION = re.compile(r"\(|\\|^\^|\$$")


@lru_cache(4096)
def as_path(root: str, route: str) -> str:
    r"""Return *route* as a path is written, below the application's *root*.

    By the option ``simplify_routes`` an expression of ``re_path()`` is written in the
    form of ``path()`` as well: ``^items/(?P<pk>\d+)/$`` as ``/items/<pk>/``.
    """
    if (settings_dict() or {}).get("simplify_routes") and _EXPRESSION.search(route):
        route = _simplified(route)
    else:
        route = route.removeprefix("^")
        for end in ("$", r"\Z"):
            if not route.endswith(f"\\{end}"):
                route = route.removesuffix(end)
    return f"{root.rstrip('/')}/{route.removeprefix('/')}"


def _simplified(expression: str) -> str:
    """Return *expression* as Django's documentation generator writes it."""
    # Only for the option: it takes 20 ms.
    from django.contrib.admindocs import utils  # noqa: PLC0415

    for replace in (
        utils.remove_non_capturing_groups,
        utils.replace_named_groups,
        utils.replace_unnamed_groups,
        utils.replace_metacharacters,
    ):
        expression = replace(expression)
    # What is left are the escapes of characters such as a point.
    return re.sub(r"\\(.)", r"\1", expression)

"""Rule: what ``configure(rules=...)`` takes a list of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict

from dtmetrics._core.level import Level

__all__ = ["Replacement", "Rule"]

#: By what the values of a dimension are replaced: patterns with a value for each, of
#: which the first that matches counts, or a function of the value.
Replacement: TypeAlias = Mapping[str, str] | Callable[[str], object]


class Rule(TypedDict, total=False):
    """Changes what is recorded, or leaves it out; ``configure(rules=[...])`` takes it.

    A mapping with conditions and actions, the same in code and in a document. It
    applies to a series that meets all of its conditions, when the series is made. Rules
    are applied in their order, each to what those before it have made.

    In patterns ``*`` stands for any characters, ``?`` for one and ``[ab]`` for one of
    several; upper and lower case differ. A key has no *prefix* there.

    >>> from dtmetrics import MemoryExporter, Rule, configure, counter, flush, shutdown
    >>> memory = MemoryExporter()
    >>> rules = [
    ...     Rule(key="jwt.*", deny=True),
    ...     Rule(key="http.*", drop_dimensions=["user.*"], cap={"http.route": 100}),
    ... ]
    >>> configure(exporter=memory, rules=rules, interval=None, force=True)
    >>> counter("jwt.hits").inc()
    >>> counter("http.hits").inc(**{"user.id": 7, "http.route": "/carts"})
    >>> flush()
    True
    >>> [line for line in memory.lines if "hits" in line]  # doctest: +ELLIPSIS
    ['http.hits,...http.route=/carts count,delta=1 ...']
    >>> shutdown()
    True
    """

    # -- conditions --------------------------------------------------------------
    #: A pattern of the metric key. A part ``$name`` or ``${name}`` stands for what is
    #: between two dots, and makes a dimension of it; see *rename*.
    key: str
    #: A pattern of the name of the meter.
    meter: str
    #: A pattern for the value of each of these dimensions, which must be there.
    dimensions: Mapping[str, str]

    # -- actions -----------------------------------------------------------------
    #: Record nothing. It is the only action of its rule.
    deny: Literal[True]
    #: Later rules deny nothing of it.
    allow: Literal[True]
    #: The lowest level that records, instead of that of the meter.
    level: Level
    #: Another metric key. In it ``$name`` and ``*`` stand for what they stand for in
    #: *key*, the latter in their order. A ``$name`` of *key* that is not in it becomes
    #: a dimension.
    rename: str
    #: Patterns of dimensions to leave out.
    drop_dimensions: Sequence[str]
    #: Patterns of the only dimensions to keep, beside those of ``configure()``, of the
    #: platform and of dtmetrics itself.
    keep_dimensions: Sequence[str]
    #: Other values, for each of these dimensions.
    replace: Mapping[str, Replacement]
    #: How many values each of these dimensions may have for a metric key; further ones
    #: become ``__other__``. Caps are applied after all rules. ``"auto"``: see
    #: ``configure(cap="auto")``.
    cap: Mapping[str, int] | Literal["auto"]

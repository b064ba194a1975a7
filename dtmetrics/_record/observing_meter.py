"""The part of a meter that is called at each collection: ``observe()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

from dtmetrics._core.level import Level
from dtmetrics._record.instrument_maker import InstrumentMaker, check_name
from dtmetrics._record.observable import Observed, observe, unobserve
from dtmetrics._record.registry import Registry
from dtmetrics._record.worker_dimension import same_in_workers

__all__ = ["ObservingMeter"]

F = TypeVar("F", bound=Callable[[], Observed])


class ObservingMeter:
    """Registers functions that are called at each collection."""

    registry: Registry
    _maker: InstrumentMaker

    def observe(  # noqa: PLR0913 -- what a definition may have
        self,
        name: str,
        /,
        *,
        kind: Literal["gauge", "counter"] = "gauge",
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
        per_worker: bool = True,
    ) -> Callable[[F], F]:
        """Call the decorated function at each collection, in the flusher's thread.

        The function returns a number, or several as pairs of a number and its
        dimensions. If it raises, that is counted in ``stats().invalid``. The decorator
        returns the function itself. A function with the same definition, module and
        name replaces an earlier one, because a module may be loaded twice. A method is
        called as long as its object is alive. ``unobserve()`` ends it.

        Args:
            name (str): The metric key, as in ``counter()``.
            kind (str): ``"gauge"``: the number is sent. ``"counter"``: the number is a
                running total, whose increase is sent. Default: ``"gauge"``.
            unit (str): As in ``counter()``.
            description (str): As in ``counter()``.
            level (Level): As in ``counter()``. Default: ``"INFO"``.
            dimensions (Mapping[str, object] | None): As in ``counter()``.
            per_worker (bool): As in ``gauge()``. Default: True.

        Raises:
            TypeError: *kind* is another text; or as in ``counter()``.
            ValueError: As in ``counter()``.
            DefinitionError: As in ``counter()``.

        >>> from dtmetrics import observe
        >>> @observe("pool.size", unit="{connection}")
        ... def pool_size():
        ...     return [(3, {"pool": "a"}), (4, {"pool": "b"})]
        """
        check_name("observe", name)
        if kind not in ("gauge", "counter"):
            raise TypeError(f"kind must be 'gauge' or 'counter', got {kind!r}")
        if not per_worker:
            dimensions = same_in_workers(dimensions)
        origin = self._maker.origin(kind, name, unit, description, level)
        pairs = tuple((dimensions or {}).items())
        origin = origin._replace(dimensions=(*origin.dimensions, *pairs))

        def decorate(function: F) -> F:
            observe(origin, function)
            return function

        return decorate

    def unobserve(self, function: Callable[[], Observed]) -> None:
        """End what ``observe()`` began: *function* is not called any more.

        Its last values are those of the collection before. For a method, that is also
        done when its object is gone. A function that is not observed is ignored.

        >>> from dtmetrics import observe, unobserve
        >>> @observe("pool.size")
        ... def pool_size(): return 3
        >>> unobserve(pool_size)
        """
        unobserve(self.registry, function)

"""The metric keys of percentiles and of counts per threshold.

Each is defined in the catalog as other keys are: by the summary's key and a suffix. It
has no series of its own. Its points are made of those of the summary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.line import number_text
from dtmetrics._protocol.point import CountDelta, GaugeValue
from dtmetrics._record.catalog import Catalog
from dtmetrics._record.definition import Definition
from dtmetrics._record.details import Details
from dtmetrics._record.distribution_series import (
    CENTROIDS,
    Plan,
    Sent,
    count_of,
    percentile,
)
from dtmetrics._record.family import Family
from dtmetrics.errors import ConflictError, MissingExtraError

__all__ = ["plan_of"]


def plan_of(
    catalog: Catalog, family: Family, definition: Definition, details: Details
) -> Plan | None:
    """Return what the series of *family* make from now on; None if that stays.

    The first definition of a key that has details decides. Raises a DefinitionError
    under the same conditions as `Catalog.define`.
    """
    if family.details:
        if family.details != details:
            error = ConflictError(
                f"{definition} has other percentiles or thresholds than "
                f"{family.definition}"
            )
            catalog.report(error, "the first ones count")
        return None
    new_sketch = call_safely(_sketch, default=None) if details.percentiles else None
    sent: list[Sent] = []
    if new_sketch is not None:
        sent += _percentiles(catalog, family, definition, details.percentiles or ())
    elif details.percentiles:
        missing = MissingExtraError(
            f"percentiles of {definition} need the extra: "
            "python -m pip install 'dtmetrics[percentiles]'"
        )
        catalog.report(missing, "it is recorded without percentiles")
    thresholds = details.slo or ()
    if thresholds:
        sent += _counts(catalog, family, definition, thresholds)
    family.details = details
    return Plan(tuple(sent), thresholds, new_sketch) if sent else None


def _sketch() -> Callable[[], Any]:
    # The import takes 1 ms, and the library is an extra.
    from fastdigest import TDigest  # noqa: PLC0415

    return partial(TDigest, CENTROIDS)


def _percentiles(
    catalog: Catalog,
    family: Family,
    definition: Definition,
    fractions: Iterable[float],
) -> Iterator[Sent]:
    for fraction in fractions:
        percent = f"{100 * fraction:.10f}".rstrip("0").rstrip(".")
        suffix = f".p{percent.replace('.', '_')}"
        derived = Definition(
            name=definition.name + suffix,
            kind="gauge",
            unit=definition.unit,
            description=f"Percentile {percent} of {definition.name} in the interval",
            site=definition.site,
        )
        found = catalog.define(derived, family)
        yield Sent(found, suffix, GaugeValue, (), percentile(fraction))


def _counts(
    catalog: Catalog,
    family: Family,
    definition: Definition,
    thresholds: Iterable[float],
) -> Iterator[Sent]:
    suffix = ".slo"
    derived = Definition(
        name=definition.name + suffix,
        kind="counter",
        unit="{value}",
        description=f"Values of {definition.name} that were at most le",
        site=definition.site,
    )
    found = catalog.define(derived, family)
    for place, threshold in enumerate(thresholds):
        le = (("le", number_text(threshold)),)
        yield Sent(found, suffix, CountDelta, le, count_of(place))

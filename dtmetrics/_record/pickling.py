"""What instruments are pickled as: their definitions, as a logger is by its name.

A pickle has no values and no locks. Unpickling looks up the instrument in the registry
of its own process, which defines it if that is new there. Pickles name the functions of
this module, and a file may keep one for longer than a version of dtmetrics (a model
with a timer, for example): their names and parameters must stay.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from dtmetrics._record.definition import Definition
from dtmetrics._record.details import Details
from dtmetrics._record.dimensions import Pairs

__all__ = [
    "Reduced",
    "restored_instrument",
    "restored_job",
    "restored_meter",
    "restored_origin",
]

#: What ``__reduce__`` returns.
Reduced: TypeAlias = tuple[Any, ...]


def restored_meter(meter: Any, dimensions: Pairs) -> Any:  # noqa: ANN401 -- a Meter
    """Return *meter* bound to *dimensions*, if there are any."""
    return meter.bind(**dict(dimensions)) if dimensions else meter


def restored_job(meter: Any, dimensions: Pairs) -> Any:  # noqa: ANN401 -- as above
    """Return the job of *meter* with *dimensions*, of which one is its name."""
    others = dict(dimensions)
    return meter.job(others.pop("job.name"), dimensions=others)


def restored_instrument(
    meter: Any,  # noqa: ANN401 -- a Meter, whose module imports this one
    definition: tuple[Any, ...],
    level: int,
    dimensions: Pairs,
    bound: Pairs,
    details: tuple[Any, ...] = (),
) -> Any:  # noqa: ANN401 -- of the kind of the definition
    """Return the instrument of *meter* with *definition*, bound to *bound*."""
    maker = meter._maker  # noqa: SLF001 -- a Meter shows users all its other names
    instrument = maker.restore(
        Definition(*definition), level, dimensions, Details(*details)
    )
    return instrument.bind(**dict(bound)) if bound else instrument


def restored_origin(
    meter: Any,  # noqa: ANN401 -- as above
    definition: tuple[Any, ...],
    level: int,
    dimensions: Pairs,
    details: tuple[Any, ...] = (),
) -> Any:  # noqa: ANN401 -- the module of Origin imports this one
    """Return what the restored instrument shares with those bound to it."""
    return restored_instrument(meter, definition, level, dimensions, (), details).origin

"""The wire: data points as text. Pure: no clock, no log, no input or output.

Reading order: ``point`` (what a data point is), ``names`` (what may be called
how), ``line`` (a point as text), ``metadata`` (what a metric key means),
``parse`` (text as a point, or why the endpoint would refuse it), ``coalesce`` (lines
of a minute folded), ``restamp`` (times that are too far ahead).
"""

"""The fault campaign: real programs against an endpoint that misbehaves by a script.

Reading order: ``clock`` (a faster one, for outages of an hour), ``lines`` (the truth of
what arrived), ``verdicts`` and ``endpoint`` (a process of its own; neither imports
dtmetrics), ``inside`` (what an application's program finds), ``rig`` (servers and
programs from outside), ``campaign`` (scenarios and their rows), then the scenarios by
theme. ``python -m tests.faults`` runs them all and prints a table; those that are quick
run under pytest as well.
"""

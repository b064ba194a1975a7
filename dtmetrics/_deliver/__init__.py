"""Delivery: what the flusher's thread does with data points.

Reading order: ``exporter`` (the port: a body and its answer), ``pack`` (points ->
lines -> bodies), ``outbox`` (what still waits, and the account of every point),
``answer`` (what the endpoint's reply means), ``http`` (the endpoint), ``progress``
(how far a request has come), ``punctual`` (a hard deadline for each), ``feedback``
(what the endpoint says of single lines), ``breaker`` (when to try again), ``backlog``
(what waits for long), ``spool`` and ``copies`` (the same on disk), ``sender`` (bodies
out), ``losses`` (what never arrived, as points of our own), ``collector`` (the
registry's points into the outbox), ``clock`` (when that is due, and its time),
``flusher`` (the thread: when to collect, when to send, when to give up). Beside the
way: ``turn`` (one thread at a time), ``secret`` (the token), ``own`` (which requests
are ours).
"""

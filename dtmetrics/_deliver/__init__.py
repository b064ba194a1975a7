"""Delivery: what the flusher's thread does with data points.

Reading order: ``exporter`` (the port: a body and its answer), ``pack`` (points ->
lines -> bodies), ``outbox`` (what still waits, and the account of every point),
``answer`` (what the endpoint's reply means), ``http`` (the endpoint), ``feedback``
(what it says of single lines), ``sender`` (bodies out, and when to try again),
``flusher`` (the thread: when to collect, when to send, when to give up). Beside the
way: ``turn`` (one thread at a time), ``secret`` (the token), ``own`` (which requests
are ours).
"""

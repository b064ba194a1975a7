"""Delivery: from the registry to the exporter, in the flusher's thread.

Reading order: ``delivery`` (the parts, and how they are wired), ``flusher`` (when to
collect and to send; ``schedule`` and ``clock`` serve it), ``collector`` (points into
the outbox; ``batching`` makes lines and batches of them), ``batch_state`` (the table:
what becomes of a batch), ``outbox`` (executes it, and keeps the account), ``sender``
(batches to the exporter), ``backoff`` (when to try again), ``delivery_log`` and
``feedback`` (what the results mean for the log and for instruments), ``spool_sync``
(what waits, on disk).
"""

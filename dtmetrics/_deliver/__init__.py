"""Delivery: from the registry to the exporter, in the flusher's thread.

Reading order: ``delivery`` (the parts, how they are wired, and how one delivery
replaces another), ``destination`` (the parts that each exporter has), ``flusher`` and
``send_loop`` (when to collect and to send; ``flusher_thread``, ``at_once``,
``schedule`` and ``clock`` serve them), ``collector`` (points into the outboxes;
``batching`` makes lines and batches of them), ``batch_state`` (the table: what becomes
of a batch), ``outbox`` (executes it, and keeps the ``account``), ``sender`` and
``safe_exporter`` (batches to the exporter), ``backoff`` (when to try again),
``delivery_log`` and ``feedback`` (what the results mean for the log and for
instruments), ``spool_sync`` (what waits, on disk).
"""

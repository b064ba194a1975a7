"""Dynatrace's metrics ingestion protocol as text: the vocabulary that all rooms share.

Nothing here reads a clock or does I/O.
https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
"""

"""Dynatrace's metrics protocol as text: the vocabulary that all rooms share.

Nothing here reads a clock or does I/O. The rules and where each is documented:
https://docs.dynatrace.com/docs/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
"""

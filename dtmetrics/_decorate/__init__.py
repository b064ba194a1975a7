"""Decorating every kind of callable: knows nothing of metrics, only user of wrapt."""

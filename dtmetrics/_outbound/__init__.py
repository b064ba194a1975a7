"""Outbound: what an application asks of others, for every library it asks by.

Reading order: ``semconv`` (names and values), ``http`` (one request of a client),
``patch`` (another library's methods, wrapped and given back), ``database`` (an
operation on a database), ``sql`` (which operation on which table a statement is).
"""

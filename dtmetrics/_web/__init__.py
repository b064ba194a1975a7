"""Web: what a request measures, for every framework.

Reading order: ``semconv`` (names and values), ``measured`` (their instruments),
``requests`` (what a middleware makes, and one request from its beginning to its end),
``active`` (how many are inside), ``exclude`` (which are not measured), ``starlette``
(which route it has matched).
"""

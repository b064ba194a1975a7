"""Applications that the tests serve, each with a factory, as users would write them.

All answer the paths of `tests.support.web_load` in the same way.
"""

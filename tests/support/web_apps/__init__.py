"""Applications that the tests serve, each with a factory, as its users would write it.

All answer the same paths in the same way, as `tests.support.web_load` asks for them.
"""

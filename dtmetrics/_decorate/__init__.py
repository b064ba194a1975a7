"""Decorating every kind of callable; knows nothing of metrics.

``decorate``   the entry; imports ``proxy``, and with it wrapt, at the first decoration
``hooks``      what the caller of ``decorate()`` supplies: begin, end, fail
``proxy``      how a target is wrapped, and what a decorated callable looks like
``wrappers``   the functions that run the hook, one for each kind of callable
``arguments``  the name of a callable, and getters for the arguments of its calls
"""

"""Decorating every kind of callable; knows nothing of metrics.

``decorate``   the entry; imports ``proxy``, and with it wrapt, at the first decoration
``hooks``      what the caller of ``decorate()`` supplies: begin, end, fail
``proxy``      how a target is wrapped, and what a decorated callable looks like
``kinds``      which kind of callable a target is, and what names it
``codegen``    compiles what is called instead of a function, with its parameters
``parameters`` the parameters of a function as source code
``defaults``   defaults and code that a function gets after it has been decorated
``cells``      what a function that is called instead of a target has in its cells
``wrappers``   what is called instead of a generator function
``arguments``  the name of a callable, and getters for the arguments of its calls
"""

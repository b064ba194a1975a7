"""The suites of web frameworks, run plain and with every application wrapped.

``python -m tests.framework_suites [starlette fastapi flask django]`` fetches the source
of each framework from PyPI, in a pinned version, and runs its tests twice: as they are,
and with dtmetrics around every application. A test must have the same outcome in both
runs, unless ``suites`` lists it with a reason. Nothing is written to the repository.
Reading order:

``suites``       the frameworks: their versions, what they need, differences with reasons
``environment``  a virtual environment and the source for each
``comparison``   runs a suite twice, and compares the outcomes test by test
``inside``       what is imported into the processes of the suites
"""

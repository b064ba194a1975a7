"""The test suites of libraries, with each of their functions decorated.

``python -m tests.transparency [LIBRARY ...]`` runs the tests of a library twice, as it
is and decorated, and compares the outcomes test by test.

``__main__``   the command
``libraries``  which libraries, in which versions, and the differences that are expected
``sources``    downloads a library and its tests, outside of the repository
``suite``      one run of a suite, in a process of its own
"""

"""Marks of tests that need what Windows lacks."""

from __future__ import annotations

import os
import signal

import pytest

#: A test that sends a signal to another thread, or to a process that handles it.
needs_signals = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="needs the signals of POSIX"
)
#: A test that makes a spool; the systems without fork() are those without flock().
needs_flock = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="the spool needs flock()"
)

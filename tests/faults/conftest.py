"""The campaign reads /proc and sends signals, so its tests are collected on Linux alone."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

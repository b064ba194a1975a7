"""What a campaign or a suite prints while it runs."""

from __future__ import annotations

import sys


def write(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

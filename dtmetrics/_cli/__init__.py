"""The command ``dtmetrics``: one file for each of its commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dtmetrics._cli import demo, dev

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="dtmetrics", description="Metrics for Dynatrace, from Python."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo.add_parser(commands)
    dev.add_parser(commands)
    args = parser.parse_args(argv)
    status: int = args.run(args)
    return status

"""The command ``dtmetrics``: its arguments, and what runs for them."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import Any

from dtmetrics import __version__
from dtmetrics._cli import dev, doctor, job, send
from dtmetrics._cli.destination import CommandError
from dtmetrics.errors import DtmetricsError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return its exit status."""
    arguments, command = job.split(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(arguments)
    if command:
        args.command = command
    try:
        status: int = args.run(args)
    except DtmetricsError as error:
        sys.stderr.write(f"dtmetrics: {error}\n")
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dtmetrics", description="Metrics for Dynatrace, from Python."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    dev.add_parser(commands)
    doctor.add_parser(commands)
    job.add_parser(commands)
    send.add_parser(commands)
    return parser


def _add_demo(commands: Any) -> None:  # noqa: ANN401 -- argparse names no type of it
    demo = commands.add_parser(
        "demo",
        help="measure a small program and show what an endpoint accepted",
        description="Start a receiver, run a small program that records for some "
        "seconds, and show what the receiver accepted.",
    )
    demo.add_argument(
        "--seconds", type=_seconds, default=5.0, help="how long to record (default 5)"
    )
    demo.add_argument("--keep", action="store_true", help="leave the receiver running")
    demo.set_defaults(run=_demo)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        message = f"must be a positive number, got {text!r:.40}"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _demo(args: argparse.Namespace) -> int:
    try:
        from dtmetrics._cli import demo  # noqa: PLC0415 -- rich is an extra, and slow
    except ImportError:
        raise CommandError(
            'the demo needs more: pip install "dtmetrics[receiver]"'
        ) from None
    return demo.run(args.seconds, keep=args.keep)

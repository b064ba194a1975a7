"""The command ``dtmetrics``: its arguments, and what runs for them."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from dtmetrics import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* and return its exit status."""
    args = _parser().parse_args(argv)
    status: int = args.run(args)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dtmetrics", description="Metrics for Dynatrace, from Python."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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
    dev = commands.add_parser(
        "dev",
        help="run an ingest endpoint for development",
        description="Run an ingest endpoint that checks every line as Dynatrace does "
        "and shows what arrives. For development only.",
    )
    dev.add_argument(
        "--host",
        default="127.0.0.1",
        help="the interface to listen on (default: %(default)s, this computer only)",
    )
    dev.add_argument(
        "--port",
        type=_port,
        default=14499,
        help="0 for a free one (default: %(default)s, where a OneAgent listens)",
    )
    dev.add_argument(
        "--token-file",
        type=Path,
        help="accept only lines that come with the token in this file",
    )
    dev.set_defaults(run=_dev)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        message = f"must be a positive number, got {text!r:.40}"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        message = f"must be a number from 0 to 65535, got {text!r:.40}"
        raise argparse.ArgumentTypeError(message)
    return port


def _demo(args: argparse.Namespace) -> int:
    try:
        from dtmetrics._cli import demo  # noqa: PLC0415 -- rich is an extra, and slow
    except ImportError:
        return _fail('the demo needs more: pip install "dtmetrics[receiver]"')
    return demo.run(args.seconds, keep=args.keep)


def _dev(args: argparse.Namespace) -> int:
    """Run the receiver until a signal stops it; return an exit status."""
    try:
        from dtmetrics.receiver import serve  # noqa: PLC0415 -- an extra, and slow
    except ImportError as missing:
        return _fail(str(missing))
    token = None
    if args.token_file is not None:
        try:
            token = args.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            return _fail(f"cannot read the token file: {error}")
        # With an empty token the endpoint would accept every line.
        if not token:
            return _fail(f"the token file is empty: {args.token_file}")
    return serve(host=args.host, port=args.port, token=token)


def _fail(message: str) -> int:
    sys.stderr.write(f"dtmetrics: {message}\n")
    return 1

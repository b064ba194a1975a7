"""``dtmetrics dev``: an ingest endpoint on this computer, for development."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_parser", "run"]


def add_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the command ``dev``."""
    parser = commands.add_parser(
        "dev",
        help="run an ingest endpoint for development",
        description="Run an ingest endpoint that checks every line as Dynatrace does "
        "and shows what arrives. For development only.",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the interface to listen on (default: %(default)s, this computer only)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=14499,
        help="0 for a free one (default: %(default)s, where a OneAgent listens)",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        help="accept only lines that come with the token in this file",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
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


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        message = f"must be a number from 0 to 65535, got {text!r:.40}"
        raise argparse.ArgumentTypeError(message)
    return port


def _fail(message: str) -> int:
    sys.stderr.write(f"dtmetrics: {message}\n")
    return 1

"""``dtmetrics dev``: an ingest endpoint for development."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dtmetrics._cli.destination import CommandError, read_token

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:  # noqa: ANN401 -- argparse names no type of it
    """Add the command to the *commands* of a parser."""
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
    parser.add_argument(
        "--as",
        dest="role",
        choices=["oneagent"],
        help="take lines at the path of a OneAgent alone (default: also at those of an "
        "environment and an ActiveGate)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the receiver until a signal stops it; return an exit status."""
    try:
        from dtmetrics.receiver import serve  # noqa: PLC0415 -- an extra, and slow
    except ImportError as missing:
        raise CommandError(str(missing)) from None
    token = None
    if args.token_file is not None:
        # With an empty token the endpoint would accept every line.
        token = read_token(args.token_file).reveal()
    as_oneagent = args.role == "oneagent"
    return serve(host=args.host, port=args.port, token=token, as_oneagent=as_oneagent)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        message = f"must be a number from 0 to 65535, got {text!r:.40}"
        raise argparse.ArgumentTypeError(message)
    return port

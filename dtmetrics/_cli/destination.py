"""The arguments by which a command names its endpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from dtmetrics._core.secret import Secret
from dtmetrics.errors import DtmetricsError

__all__ = ["CommandError", "add_destination", "arguments_of", "read_token"]


class CommandError(DtmetricsError):
    """Raised where a command cannot do its work; ``main()`` prints it."""


def add_destination(parser: argparse.ArgumentParser) -> None:
    """Add the arguments. A token is not among them: each user sees those."""
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="instead of DTMETRICS_ENDPOINT, the operator's file or the OneAgent here",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="PATH",
        help="a file with the token, instead of DTMETRICS_TOKEN",
    )


def arguments_of(args: argparse.Namespace) -> dict[str, object]:
    """Return what ``configure()`` would get. Raises CommandError without a token."""
    arguments: dict[str, object] = {}
    if args.endpoint is not None:
        arguments["endpoint"] = Secret(args.endpoint)
    if args.token_file is not None:
        arguments["token"] = read_token(args.token_file)
    return arguments


def read_token(path: Path) -> Secret:
    """Return the token in the file at *path*. Raises CommandError if there is none."""
    try:
        token = Secret(path.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read the token file: {error}") from None
    if not token:
        raise CommandError(f"the token file is empty: {path}")
    return token

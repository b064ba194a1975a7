"""``dtmetrics send``: one value, or lines from standard input, and the verdict."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from dtmetrics._cli.destination import CommandError, add_destination, arguments_of

__all__ = ["add_parser"]

_KINDS = "gauge", "counter", "summary"


def add_parser(commands: Any) -> None:  # noqa: ANN401 -- argparse names no type of it
    """Add the command to the *commands* of a parser."""
    parser = commands.add_parser(
        "send",
        help="send a value, or lines from standard input",
        description="Send one value, or without KEY the lines of the metrics ingestion "
        "protocol on standard input, and print the endpoint's verdict. The status is 0 "
        "if every line was accepted, and otherwise 1.",
    )
    parser.add_argument("key", nargs="?", metavar="KEY", help="such as orders.placed")
    parser.add_argument("value", nargs="?", type=_value, metavar="VALUE")
    parser.add_argument(
        "--kind", choices=_KINDS, default="gauge", help="default: %(default)s"
    )
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        type=_dimension,
        metavar="KEY=VALUE",
        help="a dimension; may be given several times",
    )
    parser.add_argument(
        "--timestamp", type=int, metavar="MS", help="milliseconds since 1970 (UTC)"
    )
    add_destination(parser)
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Send, print the verdict, and return the exit status."""
    if (args.key is None) != (args.value is None):
        args.parser.error("VALUE is required with KEY")
    # 0.2 s, which the other commands do without.
    from dtmetrics._config.config import Config  # noqa: PLC0415
    from dtmetrics._runtime.line_sender import line_of, send_lines  # noqa: PLC0415

    # Lines go to the endpoint, whatever else a program has as exporters.
    config = Config.resolve(arguments_of(args), ignored=("exporters",))
    lines: Iterable[bytes]
    if args.key is None:
        lines = sys.stdin.buffer
    else:
        line = line_of(
            config,
            args.key,
            args.value,
            kind=args.kind,
            dimensions=dict(args.dim),
            timestamp_ms=args.timestamp,
        )
        if not line:
            raise CommandError(f"a {args.kind} cannot record {args.value}")
        lines = [line.encode()]
    verdict = send_lines(config, lines)
    stream = sys.stdout if verdict.ok else sys.stderr
    stream.writelines(f"{sentence}\n" for sentence in verdict.sentences())
    return 0 if verdict.ok else 1


def _value(text: str) -> float:
    # An int may be too large for a float.
    with suppress(ValueError, OverflowError):
        number = int(text) if text.lstrip("+-").isdecimal() else float(text)
        if math.isfinite(number):
            return number
    message = f"must be a finite number, got {text!r:.40}"
    raise argparse.ArgumentTypeError(message)


def _dimension(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        message = f"must have the form KEY=VALUE, got {text!r:.40}"
        raise argparse.ArgumentTypeError(message)
    return key, value

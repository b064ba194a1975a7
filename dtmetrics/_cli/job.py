"""``dtmetrics job``: any command as a job, with the metrics of its run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from dtmetrics._cli.destination import add_destination, arguments_of

__all__ = ["add_parser", "split"]


def add_parser(commands: Any) -> None:  # noqa: ANN401 -- argparse names no type of it
    """Add the command to the *commands* of a parser."""
    parser = commands.add_parser(
        "job",
        help="run a command, and send its duration and its outcome",
        usage="%(prog)s [-h] [--endpoint URL] [--token-file PATH] NAME -- COMMAND ...",
        description="Run COMMAND, and send the metrics of a job: its duration, its "
        "outcome, the time of its last success, and while it runs that it does. The "
        "status is that of the command, or 128 and the number of the signal that ended "
        "it, 127 if it is not found, and 126 if it cannot be run. An endpoint that "
        "does not answer delays the end by 5 seconds at most.",
    )
    parser.add_argument("name", metavar="NAME", help="such as nightly.import")
    add_destination(parser)
    parser.set_defaults(run=run, parser=parser, command=[])


def split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the arguments of dtmetrics, and the command after the first ``--``.

    >>> split(["job", "nightly.import", "--", "git", "log", "--", "README"])
    (['job', 'nightly.import'], ['git', 'log', '--', 'README'])
    """
    if "--" not in argv or argv[0] != "job":
        return argv, []
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def run(args: argparse.Namespace) -> int:
    """Run the command, and return its exit status."""
    if not args.command:
        args.parser.error("COMMAND is required, after --")
    # 0.2 s, which the other commands do without.
    from dtmetrics._runtime.job_command import run_as_job  # noqa: PLC0415

    return run_as_job(args.name, args.command, partial(arguments_of, args))

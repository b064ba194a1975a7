"""``dtmetrics doctor``: why nothing arrives, as text or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dtmetrics._cli.destination import add_destination, arguments_of

if TYPE_CHECKING:
    from dtmetrics._doctor.finding import Finding

__all__ = ["add_parser"]

_STYLES = {
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "problem": "bold red",
    "skipped": "dim",
}
_STATUS_WIDTH, _CHECK_WIDTH = 8, 11


def add_parser(commands: Any) -> None:  # noqa: ANN401 -- argparse names no type of it
    """Add the command to the *commands* of a parser."""
    parser = commands.add_parser(
        "doctor",
        help="check the settings and the way to the endpoint",
        description="Check what a program in this environment would meet: settings, "
        "name, connection, TLS, token, clock, OneAgent. It takes 20 seconds at most. "
        "The status is 0 if there is no problem, and otherwise 1.",
    )
    add_destination(parser)
    parser.add_argument(
        "--send", action="store_true", help="send one test line as well"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for a program")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine, print the findings, and return the exit status."""
    # 0.2 s, which the other commands do without.
    from dtmetrics._doctor.examination import examine, is_healthy  # noqa: PLC0415

    findings = examine(arguments_of(args), send=args.send)
    healthy = is_healthy(findings)
    if args.json:
        report = {"ok": healthy, "checks": [each.as_json() for each in findings]}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        _print(findings)
    return 0 if healthy else 1


def _print(findings: Sequence[Finding]) -> None:
    rows = [(each.status.value, _row(each)) for each in findings]
    try:
        from rich.console import Console  # noqa: PLC0415 -- an extra
    except ImportError:
        sys.stdout.writelines(
            f"{status:{_STATUS_WIDTH}} {row}\n" for status, row in rows
        )
        return
    console = Console(soft_wrap=True, highlight=False)  # colours on a terminal only
    for status, row in rows:
        console.print(f"{status:{_STATUS_WIDTH}}", style=_STYLES[status], end=" ")
        console.print(row, markup=False)


def _row(finding: Finding) -> str:
    text = f"{finding.check:{_CHECK_WIDTH}} {finding.text}"
    if not finding.remedy:
        return text
    return f"{text}\n{' ' * (_STATUS_WIDTH + 1 + _CHECK_WIDTH)} -> {finding.remedy}"

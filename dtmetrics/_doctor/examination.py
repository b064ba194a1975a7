"""All checks in turn, and an end to them whatever the network does."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping

from dtmetrics._core.error_place import kind_and_place
from dtmetrics._doctor.effective_settings import resolve, settings_findings
from dtmetrics._doctor.endpoint_answer import answer_findings, send_test_line
from dtmetrics._doctor.finding import Finding, Status, problem, skipped
from dtmetrics._doctor.network_path import network_findings
from dtmetrics._doctor.oneagent import platform_findings
from dtmetrics._doctor.server_model import process_findings
from dtmetrics._doctor.token_form import token_finding

__all__ = ["examine", "is_healthy"]

# With the start of Python, an examination takes less than 20 s.
_SECONDS = 16.0


def examine(
    arguments: Mapping[str, object], *, send: bool = False, seconds: float = _SECONDS
) -> list[Finding]:
    """Return the findings of all checks, made within about *seconds*.

    *arguments* are those of ``configure()``. With *send*, a test line is sent.
    """
    findings: list[Finding] = []
    thread = threading.Thread(
        target=_examine, args=(findings, arguments), kwargs={"send": send}, daemon=True
    )
    thread.start()
    thread.join(seconds)
    found = list(findings)
    if thread.is_alive():
        remedy = "check the network and the firewalls"
        text = f"the checks did not end in {seconds:g} s"
        found.append(problem("time", text, None, remedy))
    return found


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Return whether no finding is a problem."""
    return all(each.status is not Status.PROBLEM for each in findings)


def _examine(
    findings: list[Finding], arguments: Mapping[str, object], *, send: bool
) -> None:
    try:
        # One by one: the caller takes what there is when the time is over.
        for finding in _findings(arguments, send=send):
            findings.append(finding)  # noqa: PERF402 -- as above
    except Exception as error:  # noqa: BLE001 -- its text may hold a secret
        findings.append(problem("doctor", kind_and_place(error), None, "report it"))


def _findings(arguments: Mapping[str, object], *, send: bool) -> Iterator[Finding]:
    effective = resolve(arguments)
    yield from settings_findings(effective)
    yield from process_findings()
    config = effective.config
    if config is None:
        yield skipped("connection", "the settings are not valid")
        return
    yield from platform_findings(config)
    yield token_finding(config)
    reached = True
    for finding in network_findings(config):
        yield finding
        reached = reached and finding.status is not Status.PROBLEM
    if not reached:
        yield skipped("answer", "there is no connection")
        return
    yield from answer_findings(config)
    yield send_test_line(config) if send else skipped("test line", "--send sends one")

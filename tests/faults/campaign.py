"""Scenarios: a claim, the faults that might break it, and the row of figures it makes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from tests.faults.rig import Program, Received, Server

#: Every scenario, by name, in the order of definition.
SCENARIOS: dict[str, Scenario] = {}


@dataclass
class Run:
    """How long a run of the campaign may take, and its random seed."""

    quick: bool = False
    seconds: float = 60.0
    seed: int = 0
    #: Breaks the library, to show that a scenario notices: "drop" or "double".
    broken: str = ""

    def program(
        self, source: str, server: Server, *arguments: object, **more: Any
    ) -> Program:
        """Start an application, with a broken library if the run asks for one."""
        return Program(source, server, *arguments, broken=self.broken, **more)


@dataclass
class Row:
    """The result of a scenario. It has passed if it lists no breach of the claim."""

    name: str = ""
    expected: Any = None
    actual: Any = None
    hung: int = 0
    memory: float | None = None
    seconds: float = 0.0
    breaches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: str = ""
    #: The last account of the program.
    stats: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def difference(self) -> Any:
        """Return actual minus expected, or None if either is unknown."""
        if self.expected is None or self.actual is None:
            return None
        return self.actual - self.expected

    @property
    def verdict(self) -> str:
        """Return the verdict in words."""
        if self.missing:
            return f"not run: {self.missing} is missing"
        return "BREACH: " + "; ".join(self.breaches) if self.breaches else "passed"

    def require(self, good: object, otherwise: str) -> bool:
        """Add a breach, with the text *otherwise*, unless *good*."""
        if not good:
            self.breaches.append(otherwise)
        return bool(good)

    def require_delivered(
        self, program: Program, received: Received, facts: dict[str, Any]
    ) -> None:
        """Require that every order arrived, and that the last flush returned True."""
        self.expected, self.actual = program.tally()[0], received.total("orders")
        self.require_exact()
        self.require(facts["delivered"], "not delivered")

    def require_exact(self) -> None:
        """Require that exactly what was recorded arrived."""
        self.require(self.difference == 0, f"differs by {self.difference}")

    def note(self, text: str) -> None:
        """Add a figure that is worth reading and does not affect the verdict."""
        self.notes.append(text)

    def require_balance(self, received: Received, stats: dict[str, Any]) -> None:
        """Require that the endpoint got as many points as the library calls accepted.

        Points are compared, not values: the value of a dropped point is unknown here.
        """
        accepted = stats["accepted"]
        unknown = stats["dropped"].get("indeterminate", 0)
        self.require(
            accepted <= received.points <= accepted + unknown,
            f"{received.points} points arrived, {accepted} accepted, {unknown} unknown",
        )

    def require_counted_losses(self, received: Received, stats: dict[str, Any]) -> None:
        """Require that each missing value is a dropped point; each point has value 1."""
        own = stats["collected"] - self.expected - received.self_metric_points
        dropped = sum(stats["dropped"].values()) - own
        self.require(
            -self.difference == dropped,
            f"{-self.difference} are missing, dropped {stats['dropped']}, {own} our own",
        )

    def check_account(self, program: Program, facts: dict[str, Any]) -> bool:
        """Require that a program's final account adds up; False if it sent none."""
        if "stats" not in facts:
            status = program.wait(5)
            if status is None:
                self.hung += 1
                return self.require(False, f"hung; {program.last_error}")
            return self.require(False, f"ended with {status}: {program.last_error}")
        stats = facts["stats"]
        done = stats["accepted"] + stats["rejected"] + sum(stats["dropped"].values())
        self.require(
            stats["collected"] == done + stats["waiting"],
            f"the account does not add up: {stats}",
        )
        if "grown" in facts:
            self.memory = max(facts["grown"], self.memory or 0)
        return True


@dataclass(frozen=True)
class Scenario:
    """A function that returns a row, and the tools and packages that it needs."""

    act: Callable[[Run], Row]
    needs: tuple[str, ...]
    fast: bool
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the function."""
        return self.act.__name__

    @property
    def claim(self) -> str:
        """Return the claim: the first line of the function's docstring."""
        return (self.act.__doc__ or "").partition("\n")[0]

    def run(self, run: Run) -> Row:
        """Run the scenario. An exception that it raises is a breach as well."""
        missing = [tool for tool in self.needs if not _is_available(tool)]
        missing += [name for name in self.packages if not _is_installed(name)]
        begin = time.monotonic()
        if missing:
            row = Row(missing=", ".join(missing))
        else:
            try:
                row = self.act(run)
            except Exception as error:
                row = Row(breaches=[f"the scenario failed: {error!r}"])
        row.name = self.name
        row.seconds = round(time.monotonic() - begin, 1)
        return row


def scenario(
    *,
    needs: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    fast: bool = False,
) -> Callable[[Callable[[Run], Row]], Callable[[Run], Row]]:
    """Register a function as a scenario; pytest runs the *fast* ones as well.

    *needs* names commands, or "root" for the rights of root; *packages* names
    distributions on PyPI. A scenario that lacks one of them is reported as not run.
    """

    def register(act: Callable[[Run], Row]) -> Callable[[Run], Row]:
        SCENARIOS[act.__name__] = Scenario(act, needs, fast, packages)
        return act

    return register


def _is_available(tool: str) -> bool:
    """Return whether *tool* is an installed command, or "root" and we are root."""
    if tool == "root":
        return os.geteuid() == 0
    return shutil.which(tool) is not None


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True

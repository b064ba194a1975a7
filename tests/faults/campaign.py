"""Scenarios: a claim, what makes it fail, and the row of figures that comes of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from tests.faults.rig import Program, Server, Truth

#: Every scenario, by name, in the order of their definition.
SCENARIOS: dict[str, Scenario] = {}


@dataclass
class Run:
    """How much of it is wanted."""

    quick: bool = False
    seconds: float = 60.0
    seed: int = 0
    #: Breaks the library, to see that the scenario sees it: "drop" or "double".
    sabotage: str = ""

    def program(
        self, source: str, server: Server, *arguments: object, **more: Any
    ) -> Program:
        """Start an application, broken if that was asked for."""
        return Program(source, server, *arguments, sabotage=self.sabotage, **more)


@dataclass
class Row:
    """What came of a scenario. It has passed if nothing breaches its claim."""

    name: str = ""
    truth: Any = None
    got: Any = None
    hung: int = 0
    memory: float | None = None
    seconds: float = 0.0
    breaches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: str = ""

    @property
    def difference(self) -> Any:
        """Return by how much what arrived differs from the truth."""
        if self.truth is None or self.got is None:
            return None
        return self.got - self.truth

    @property
    def verdict(self) -> str:
        """Return the verdict in words."""
        if self.missing:
            return f"not run: no {self.missing}"
        return "BREACH: " + "; ".join(self.breaches) if self.breaches else "passed"

    def require(self, good: object, otherwise: str) -> bool:
        """Enter a breach unless *good*."""
        if not good:
            self.breaches.append(otherwise)
        return bool(good)

    def delivered(self, program: Program, truth: Truth, facts: dict[str, Any]) -> None:
        """Require that all orders are there, and that the library has said so."""
        self.truth, self.got = program.tally()[0], truth.total("orders")
        self.exact()
        self.require(facts["delivered"], "not delivered")

    def exact(self) -> None:
        """Require that what arrived is the truth."""
        self.require(self.difference == 0, f"differs by {self.difference}")

    def note(self, text: str) -> None:
        """Add a figure that is worth reading and judges nothing."""
        self.notes.append(text)

    def balanced(
        self, truth: Truth, stats: dict[str, Any], *, folded: bool = False
    ) -> None:
        """Require that what the library counts as accepted is what arrived.

        Point by point: how much a point that was dropped held, nobody can tell. Where
        points may have been *folded*, into one a minute, more are accepted than came.
        """
        accepted = stats["accepted"]
        unknown = stats["dropped"].get("indeterminate", 0)
        self.require(
            truth.points <= accepted + unknown and (folded or accepted <= truth.points),
            f"{truth.points} points arrived, {accepted} are accepted, {unknown} unknown",
        )

    def counted(self, truth: Truth, stats: dict[str, Any]) -> None:
        """Require that the loss is what was counted as dropped, where a point is 1."""
        own = stats["collected"] - self.truth - truth.own_points
        lost = sum(stats["dropped"].values()) - own
        self.require(
            -self.difference == lost,
            f"{-self.difference} are missing, dropped {stats['dropped']}, {own} our own",
        )

    def told(self, program: Program, facts: dict[str, Any]) -> bool:
        """Enter what a program told at its end; False if it told nothing."""
        if "stats" not in facts:
            status = program.wait(5)
            if status is None:
                self.hung += 1
                return self.require(False, f"hung; {program.said}")
            return self.require(False, f"ended with {status}: {program.said}")
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
    """A function that makes a row, and what it needs."""

    act: Callable[[Run], Row]
    needs: tuple[str, ...]
    fast: bool
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return its name."""
        return self.act.__name__

    @property
    def claim(self) -> str:
        """Return what it claims."""
        return (self.act.__doc__ or "").partition("\n")[0]

    def run(self, run: Run) -> Row:
        """Run it. An error of its own is a breach as well."""
        missing = [tool for tool in self.needs if not _has(tool)]
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
    """Enter a function as a scenario; a *fast* one is run by pytest as well.

    It *needs* tools, by their commands, and *packages*, by their names on PyPI.
    """

    def enter(act: Callable[[Run], Row]) -> Callable[[Run], Row]:
        SCENARIOS[act.__name__] = Scenario(act, needs, fast, packages)
        return act

    return enter


def _has(tool: str) -> bool:
    """Whether there is a command of that name, or the rights of root."""
    if tool == "root":
        return os.geteuid() == 0
    return shutil.which(tool) is not None


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True

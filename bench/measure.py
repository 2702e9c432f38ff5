"""Samples, their medians and tables. Nothing here touches a measured machine."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

START, END = "<!-- measured -->", "<!-- end -->"
GOALS = ("goal", "wanted", "found", "")


@dataclass(frozen=True)
class Sample:
    """One run: its seconds, and the remote commands on the host that got most of them."""

    seconds: float
    commands: int


@dataclass(frozen=True)
class Series:
    """The runs of one kind. The median counts, as another process may disturb any of them."""

    samples: Sequence[Sample]

    @property
    def seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def commands(self) -> int:
        return max(sample.commands for sample in self.samples)

    @property
    def cells(self) -> list[str]:
        """Median, range and commands as cells of a table."""
        times = [sample.seconds for sample in self.samples]
        return [f"{self.seconds:.2f}", f"{min(times):.2f} to {max(times):.2f}", str(self.commands)]


@dataclass(frozen=True)
class Goal:
    """A figure that must not exceed ``most``."""

    name: str
    found: float
    most: float

    @property
    def cells(self) -> list[str]:
        return [
            self.name,
            f"≤ {self.most:.3g}",
            f"{self.found:.3g}",
            "met" if self.found <= self.most else "**missed**",
        ]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def update_page(report: str, page: Path) -> None:
    """Replace the text between the page's two marks by the report."""
    before, _, rest = page.read_text().partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{report}{END}{after}")


def conditions(repetitions: int) -> str:
    """Describe this machine. Call it before the bench adds its own load."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyinfra", "paramiko"))
    load = os.getloadavg()[0]
    return (
        f"{datetime.date.today()}, {os.cpu_count()} cores, load {load:.1f} before, Python "
        f"{platform.python_version()}, {packages}; medians of {repetitions}.\n"
    )

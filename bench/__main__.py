"""Measure, and write the figures into README.md: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import shell
from bench.ansible import Ansible
from bench.measure import GOALS, Goal, Sample, Series, conditions, table, update_page
from bench.site import NAGLE, NODELAY, Lab, Site, site

PAGE = Path(__file__).parent / "README.md"
TIMES = ["median s", "range", "commands a host"]


class Bench:
    """The measurements: each returns a table and adds its goals."""

    def __init__(self, site: Site, repetitions: int) -> None:
        self.site = site
        self.repetitions = repetitions
        self.goals: list[Goal] = []

    def series(
        self,
        lab: Lab,
        *actions: Callable[[], None],
        before: Callable[[], None] | None = None,
    ) -> list[Series]:
        """Repeat actions on a lab in turns, so that a disturbance hits all of them.

        ``before`` runs before each action and is not measured.
        """
        samples: list[list[Sample]] = [[] for _ in actions]
        for _ in range(self.repetitions):
            for action, found in zip(actions, samples, strict=True):
                if before:
                    before()
                found.append(lab.sample(action))
                print(f"{found[-1].seconds:8.2f}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
        return [Series(found) for found in samples]

    def first_run(self) -> str:
        """(b) Measure the first run with images present, against the shell script."""
        lab, machine = self.site.one, self.site.one.machines[0]
        # The credentials stay: the script gets the same ones as the run.
        text = shell.script(lab.plan)
        quaylab, by_hand = self.series(
            lab,
            lab.deploy,
            lambda: shell.execute(lab.operator, machine, text),
            before=lab.forget_data,
        )
        lab.forget_data()
        lab.deploy()
        ratio = quaylab.seconds / by_hand.seconds
        self.goals.append(Goal("first run, against the shell script", ratio, 1.3))
        rows = [["Quaylab", *quaylab.cells], ["shell script", *by_hand.cells]]
        return table(["first run, images present", *TIMES], rows)

    def no_change(self) -> str:
        """(a) Measure the run without changes, on more and more hosts."""
        titles = ("as shipped", "with Nagle", "with TCP_NODELAY")
        rows = []
        shipped: dict[int, Series] = {}
        for hosts, lab in self.site.labs.items():
            variants = [lab, lab.variant("nagle", NAGLE), lab.variant("nodelay", NODELAY)]
            found = self.series(lab, *(variant.run_without_changes for variant in variants))
            shipped[hosts] = found[0]
            rows += [
                [str(hosts), title, *each.cells] for title, each in zip(titles, found, strict=True)
            ]
        most = max(series.commands for series in shipped.values())
        self.goals.append(Goal("remote commands a host, no change", most, 8))
        calls = self.site.one.engine_calls(self.site.one.run_without_changes)
        self.goals.append(Goal("calls of the engine's client on one host, no change", calls, 10))
        growth = shipped[10].seconds / shipped[1].seconds
        self.goals.append(Goal("no change on 10 hosts, against 1", growth, 1.25))
        return table(["no change on hosts", "paramiko", *TIMES], rows)

    def against_ansible(self, folder: Path) -> str:
        """(c) Measure the run without changes, against an Ansible playbook for the same state."""
        ansible = Ansible.install(folder)
        rows = []
        for hosts, lab in self.site.labs.items():
            inventory = ansible.inventory(lab)

            def play(inventory: Path = inventory) -> None:
                ansible.run_without_changes(inventory)

            play()  # its connections stay open from here on, as in daily work
            quaylab, theirs = self.series(lab, lab.run_without_changes, play)
            ratio = quaylab.seconds / theirs.seconds
            rows.append([str(hosts), "Quaylab", *quaylab.cells, f"1/{1 / ratio:.1f}"])
            rows.append([str(hosts), ansible.version, *theirs.cells, "1"])
            self.goals.append(Goal(f"no change on {hosts}, against Ansible", ratio, 1 / 9))
        return table(["no change on hosts", "by", *TIMES, "ratio"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="of each run (default: 5)")
    parser.add_argument(
        "--only", choices="abc", action="append", help="a: no change, b: first run, c: Ansible"
    )
    parser.add_argument("--print", action="store_true", help="leave README.md as it is")
    options = parser.parse_args()
    wanted = options.only or ["a", "b", "c"]
    # As on a user's machine, where Python keeps the modules that it has compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    measured_on = conditions(options.repetitions)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, site(Path(name)) as built:
        bench = Bench(built, options.repetitions)
        for lab in built.labs.values():
            lab.deploy()
        measured = []
        if "a" in wanted:
            measured.append(bench.no_change())
        if "b" in wanted:
            measured.append(bench.first_run())
        if "c" in wanted:
            measured.append(bench.against_ansible(Path(name) / "ansible"))
    goals = table(GOALS, [goal.cells for goal in bench.goals])
    report = "\n".join([measured_on, goals, *measured])
    print(report)
    if not options.print:
        update_page(report, PAGE)


if __name__ == "__main__":
    main()

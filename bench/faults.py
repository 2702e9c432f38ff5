"""Measure what clients notice of faults on three machines that play every part, and write the
figures into faults.md: ``python -m bench.faults --help``."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pytest

from bench.measure import GOALS, Goal, conditions, table, update_page
from bench.site import Lab, lab, log_sessions, machine_factory
from tests.ha.cluster import Cluster
from tests.ha.faults import (
    holder,
    is_whole,
    kill_container,
    kill_keepalived,
    kill_patroni,
    kill_postgresql,
)
from tests.ha.load import Counts, Load
from tests.machine.deployment import ADMIN, HOSTNAME
from tests.machine.machines import Machine, run, wait_until
from tests.machine.s3_store import ENVIRONMENT, s3_store

PAGE = Path(__file__).with_suffix(".md")
# Seconds for which the clients go on after a fault that the database does not notice.
WATCHED = 15
# Seconds in which writes must be back; nothing takes that long, and the goals are lower.
LONGEST = 60


@dataclass(frozen=True)
class Site:
    """Three machines that play every part, and clients at their virtual address."""

    lab: Lab
    address: str

    @cached_property
    def load(self) -> Load:
        deployment = self.lab.deployment
        return Load(self.address, HOSTNAME, deployment.ca, ADMIN, deployment.password)

    @property
    def machines(self) -> list[Machine]:
        return list(self.lab.machines)

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.machines)

    def await_whole(self) -> None:
        self.cluster.await_whole()
        wait_until(lambda: is_whole(self.machines), "all nodes are in service", timeout=180)


@dataclass(frozen=True)
class Fault:
    """What happens while ``inject`` is entered, and the longest time in seconds without an
    acknowledged write that the goals allow."""

    title: str
    goal: float
    inject: Callable[[Site], AbstractContextManager[None]]
    is_the_databases: bool = False


def _kill(
    kill: Callable[[Machine], None], place: Callable[[Site], Machine]
) -> Callable[[Site], AbstractContextManager[None]]:
    def inject(site: Site) -> AbstractContextManager[None]:
        kill(place(site))
        return nullcontext()

    return inject


def _container(service: str) -> Callable[[Machine], None]:
    return partial(kill_container, name=f"quaylab-{service}")


def _first(site: Site) -> Machine:
    return site.machines[0]


def _second(site: Site) -> Machine:
    return site.machines[1]


def _leader(site: Site) -> Machine:
    return site.cluster.leader


def _holder(site: Site) -> Machine:
    return holder(site.machines, site.address)


def _switch_over(site: Site) -> AbstractContextManager[None]:
    site.cluster.switch_over()
    return nullcontext()


@contextmanager
def _lost(machine: Machine) -> Iterator[None]:
    machine.kill()
    try:
        yield
    finally:
        machine.start()


def _follower(site: Site) -> Machine:
    """Have the address on a machine that does not lead the database, and return that one."""
    return holder(site.machines, site.address, not_on=site.cluster.leader)


FAULTS = (
    Fault("a node of Quay is killed", 5, _kill(_container("quay"), _second)),
    Fault("the balancer with the address is killed", 5, _kill(_container("balancer"), _holder)),
    Fault("keepalived with the address is killed", 5, _kill(kill_keepalived, _holder)),
    Fault("a router is killed", 5, _kill(_container("router"), _second)),
    Fault("the Redis in use is killed", 5, _kill(_container("redis"), _first)),
    Fault("etcd is killed beside the leader", 5, _kill(_container("etcd"), _leader)),
    Fault("a machine that does not lead is lost", 5, lambda site: _lost(_follower(site))),
    Fault("one is cut off", 5, lambda site: _follower(site).without_carrier()),
    Fault("the database is switched over by hand", 4, _switch_over, True),
    Fault("PostgreSQL is killed", 5, _kill(kill_postgresql, _leader), True),
    Fault("Patroni is killed", 25, _kill(kill_patroni, _leader), True),
    Fault("the leader's machine is lost", 25, lambda site: _lost(_leader(site)), True),
    Fault("the leader is cut off", 25, lambda site: _leader(site).without_carrier(), True),
)


def measure(site: Site, faults: Iterable[Fault], repetitions: int) -> str:
    """Return a table of the goals, and one of what clients noticed."""
    goals, rows = [], []
    for fault in faults:
        found = [_inject(site, fault) for _ in range(repetitions)]
        gaps = [each.gap_of_writes for each in found]
        goals.append(Goal(f"{fault.title}: longest gap, s", max(gaps), fault.goal))
        rows.append(
            [
                fault.title,
                f"{min(gaps):.1f}, {statistics.median(gaps):.1f}, {max(gaps):.1f}",
                f"{max(each.gap for each in found):.1f}",
                str(sum(each.requests for each in found)),
                str(sum(len(each.failed_requests) for each in found)),
                str(sum(len(each.failed_operations) for each in found)),
            ]
        )
    titles = ["fault", "writes: min, median, max s", "any answer: max s", "requests", "failed"]
    noticed = table([*titles, "operations failed twice"], rows)
    return f"{table(GOALS, [goal.cells for goal in goals])}\n{noticed}"


def _inject(site: Site, fault: Fault) -> Counts:
    site.await_whole()
    with ExitStack() as ended, site.load.running() as counts:
        site.load.await_pull()
        ended.enter_context(fault.inject(site))
        time.sleep(WATCHED)
        if fault.is_the_databases:
            site.load.await_push(LONGEST)
    print(f"{fault.title}: {counts}", file=sys.stderr, flush=True)
    site.await_whole()
    assert site.load.lost(counts) == []
    return counts


def first_and_second_run(site: Site) -> str:
    """Return a table of the first runs on three hosts, with the images present."""
    first = site.lab.sample(site.lab.deploy)
    second = site.lab.sample(site.lab.run_without_changes)
    memory = ", ".join(_memory(machine) for machine in site.machines)
    rows = [
        [title, f"{found.seconds:.0f}", str(found.commands)]
        for title, found in (("first", first), ("second", second))
    ]
    return f"{table(['run', 's', 'commands a host'], rows)}\nMemory of the machines: {memory}.\n"


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Create three machines, and deploy nothing."""
    with machine_factory(folder) as (operator, factory), pytest.MonkeyPatch.context() as patch:
        machines = factory.together(("one", "two", "three"))
        for machine in machines:
            log_sessions(machine)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        network, _, _ = machines[0].address.rpartition(".")
        address = f"{network}.250"
        with s3_store(machines[0], folder) as store:
            settings = {
                "quay_version": "v3.18.0",
                "quay_workers": 1,
                "minimum_memory_mb": 512,
                **store.settings,
                "storage_proxy": True,
                "virtual_address": address,
            }
            groups = dict.fromkeys(("balancer", "quay", "database", "redis"), machines)
            built = lab(operator, folder, f"bench-{os.getpid()}-ha", groups, machines, **settings)
            try:
                yield Site(built, address)
            finally:
                built.deployment.forget()


def _memory(machine: Machine) -> str:
    stats = ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}"]
    return run(*stats, machine.container).stdout.partition("/")[0].strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="of each fault (default: 5)")
    parser.add_argument("--only", metavar="TEXT", default="", help="faults with this in the title")
    parser.add_argument("--print", action="store_true", help="leave faults.md as it is")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only in fault.title]
    measured_on = conditions(options.repetitions)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, site(Path(name)) as built:
        runs = first_and_second_run(built)
        report = "\n".join([measured_on, runs, measure(built, faults, options.repetitions)])
    print(report)
    if not options.print:
        update_page(report, PAGE)


if __name__ == "__main__":
    main()

"""The measured machines, the labs on them, and the count of remote commands."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Sample
from facts.machine import Machine as MachineFact
from quaylab import plan as plans
from quaylab.plan import Plan
from tests.hosts import inventory as inventories
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, MachineFactory, Operator, run
from tests.machine.packaged import build_all
from tests.machine.stock import volume

PARTS = ("database", "redis", "quay")
IDLE = 7
CALLS = "/run/docker-calls"
COUNTING_CLIENT = "/usr/local/sbin/docker"
COUNT_AND_CALL = f"""#!/bin/sh
echo >>{CALLS}
exec /usr/bin/docker "$@"
"""

# Inventory data: paramiko's default behaviour, and a transport that sends at once.
NAGLE = "ssh_paramiko_connect_kwargs = {}\n"
NODELAY = """
import socket
import paramiko

def _nodelay(sock, *arguments, **options):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return paramiko.Transport(sock, *arguments, **options)

ssh_paramiko_connect_kwargs = {"transport_factory": _nodelay}
"""


@dataclass(frozen=True)
class Lab:
    """An inventory; ``machines`` are all its hosts, also those without a part."""

    deployment: Deployment
    machines: Sequence[Machine]
    operator: Operator

    @property
    def plan(self) -> Plan:
        """The plan that a run makes from the same inventory and the same facts."""
        reports = {machine.name: _report(machine) for machine in self.machines}
        return plans.make(inventories.read(self.deployment.inventory, ()), reports)

    def variant(self, name: str, data: str) -> Lab:
        """Return the same lab with an inventory that has more data."""
        source = self.deployment.inventory.parent
        copy = source.with_name(name)
        (copy / "group_data").mkdir(parents=True, exist_ok=True)
        inventory = copy / "inventory.py"
        inventory.write_text(self.deployment.inventory.read_text())
        settings = (source / "group_data" / "all.py").read_text()
        (copy / "group_data" / "all.py").write_text(settings + data)
        deployment = Deployment(
            self.operator, inventory, self.deployment.machines, self.deployment.store
        )
        return Lab(deployment, self.machines, self.operator)

    def deploy(self) -> None:
        self.deployment.run().check()

    def run_without_changes(self) -> None:
        """Run pyinfra, and fail if it changes anything."""
        changed = self.deployment.run().check().changed()
        assert not changed, changed

    def sample(self, action: Callable[[], None]) -> Sample:
        """Time an action, and count the commands that it runs on the machines."""
        before = [_sessions(machine) for machine in self.machines]
        started = time.monotonic()
        action()
        seconds = time.monotonic() - started
        after = [_sessions(machine) for machine in self.machines]
        return Sample(seconds, max(b - a for a, b in zip(before, after, strict=True)))

    def engine_calls(self, action: Callable[[], None]) -> int:
        """Return how often an action calls Docker's client on the first machine."""
        machine = self.machines[0]
        # Before /usr/bin in sudo's path. It takes time itself, so it is there for this run only.
        machine.run(f"cat >{COUNTING_CLIENT}; chmod +x {COUNTING_CLIENT}", input=COUNT_AND_CALL)
        try:
            action()
        finally:
            machine.run(f"rm {COUNTING_CLIENT}")
        return int(machine.run(f"wc -l <{CALLS}; rm {CALLS}").stdout)

    def forget_data(self) -> None:
        """Restore the state before the first run: only the images are there."""
        for machine in self.machines:
            machine.run(
                "docker ps --all --quiet --filter name=quaylab- | xargs --no-run-if-empty "
                "docker rm --force --volumes && "
                "docker volume ls --quiet --filter name=quaylab- | xargs --no-run-if-empty "
                "docker volume rm && "
                "docker network prune --force && "
                "rm -rf /etc/quaylab /var/lib/quaylab /etc/docker/certs.d && "
                'kept=$(grep -v quaylab /etc/hosts) && echo "$kept" >/etc/hosts'
            )


@dataclass(frozen=True)
class Site:
    """One host with all parts, three hosts with one each, and those with seven idle hosts."""

    one: Lab
    three: Lab
    ten: Lab

    @property
    def labs(self) -> Mapping[int, Lab]:
        return {1: self.one, 3: self.three, 10: self.ten}


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Create machines with the images on them, and nothing deployed."""
    with machine_factory(folder) as (operator, factory):
        alone = factory("alone", "stocked")
        members = {part: factory(part, "stocked") for part in PARTS}
        # They have no part, so they need no engine.
        idle = [factory(f"idle-{number}", "bare") for number in range(1, IDLE + 1)]
        for machine in (alone, *members.values(), *idle):
            log_sessions(machine)
        spread: dict[str, Sequence[Machine]] = {part: [members[part]] for part in PARTS}
        apart = list(members.values())
        # The lab's name: three and ten hosts are one registry, apart from those of other benches.
        name = f"bench-{os.getpid()}"
        built = Site(
            lab(operator, folder, f"{name}-one", {part: [alone] for part in PARTS}, [alone]),
            lab(operator, folder / "3", f"{name}-more", spread, apart),
            lab(operator, folder / "10", f"{name}-more", {**spread, "idle": idle}, apart + idle),
        )
        try:
            yield built
        finally:
            for each in built.labs.values():
                each.deployment.forget()


@contextmanager
def machine_factory(folder: Path) -> Iterator[tuple[Operator, MachineFactory]]:
    """Return an operator and a factory of machines with the images on them, which are removed at
    the end."""
    home = folder / "operator"
    home.mkdir()
    # As ./lab installs it: the tests' own packages slow down the start of pyinfra.
    python = virtual_environment(home, "--require-hashes", "--requirement=requirements.lock")
    operator = Operator(home, str(python))
    factory = MachineFactory(operator, volume(build_all().values()))
    try:
        yield operator, factory
    finally:
        factory.close()


def virtual_environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment with packages from PyPI, by pip's own configuration; return its
    Python."""
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    run(str(python), "-m", "pip", "install", "--quiet", *packages, timeout=1200)
    return python


def lab(
    operator: Operator,
    folder: Path,
    name: str,
    groups: Mapping[str, Sequence[Machine]],
    machines: Sequence[Machine],
    **settings: Any,
) -> Lab:
    return Lab(Deployment.of(operator, folder / name, groups, **settings), machines, operator)


def log_sessions(machine: Machine) -> None:
    """Let sshd log every command that it runs."""
    machine.run("echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/bench.conf; systemctl reload ssh")


def _sessions(machine: Machine) -> int:
    """Count the commands so far by sshd's own log, whatever client sent them."""
    log = "journalctl --sync; journalctl --identifier=sshd-session --output=cat"
    return int(machine.run(f"{log} | grep -c '^Starting session' || :").stdout)


def _report(machine: Machine) -> Any:
    fact = MachineFact()
    return fact.process(machine.run(fact.command()).stdout.splitlines())

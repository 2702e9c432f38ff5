"""The database's members, as they tell themselves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from facts.patroni import Patroni, PatroniState
from quaylab.services.etcd import ETCDCTL
from quaylab.services.patroni_config import CONFIGURATION
from tests.machine.machines import Machine, wait_until

CONTROL = f"patronictl -c {CONFIGURATION}"
DATABASE, ETCD = "quaylab-database", "quaylab-etcd"
ETCD_HEALTH = (
    f"inspect --format '{{{{.State.Health.Status}}}} {{{{.State.Health.FailingStreak}}}}' {ETCD}"
)


def inside(machine: Machine, command: str, container: str = DATABASE) -> str:
    """Return the command that runs another one in a container, by default the database's."""
    return f"{machine.engine} exec {container} {command}"


def answer(machine: Machine, command: str) -> list[str]:
    """Return what a machine answers to a fact's command, which is for Docker outside of a run."""
    asked = command.replace("docker exec", f"{machine.engine} exec")
    done = machine.run(asked, check=False)
    # A failure's text is that of the engine in which the machine itself is a container.
    return [] if done.returncode else done.stdout.splitlines()


def etcdctl(machine: Machine, command: str) -> list[list[str]]:
    """Return the cells of the answer of a machine's member."""
    script = inside(machine, f"bash -c {shlex.quote(f'{ETCDCTL} {command}')}", container=ETCD)
    return [line.split(", ") for line in machine.run(script).stdout.splitlines()]


def _etcd_is_well(machine: Machine) -> bool:
    found = machine.run(f"{machine.engine} {ETCD_HEALTH}", check=False).stdout
    return found.split() == ["healthy", "0"]


@dataclass(frozen=True)
class Cluster:
    machines: list[Machine]

    def state(self, machine: Machine) -> PatroniState | None:
        fact = Patroni()
        return fact.process(answer(machine, fact.command(container=DATABASE).get_raw_value()))

    @property
    def leader(self) -> Machine:
        name = next(filter(None, (state.leader for state in self._states())), None)
        return next(machine for machine in self.machines if machine.name == name)

    @property
    def etcd_leader(self) -> Machine | None:
        """The machine whose member leads etcd; none during an election."""
        for machine in self.machines:
            ((_, _, _, _, leads, *_),) = etcdctl(machine, "endpoint status")
            if leads == "true":
                return machine
        return None

    def switch_over(self, candidate: str | None = None) -> None:
        """Have another member lead, by default one to which Patroni would hand over."""
        leader = self.leader
        state = self.state(leader)
        assert state
        options = f"--leader {leader.name} --candidate {candidate or state.successor} --force"
        # With Podman patronictl may not reach the member in its own container.
        other = next(machine for machine in self.machines if machine != leader)
        other.run(inside(other, f"{CONTROL} switchover {options}"))

    def is_whole(self) -> bool:
        """Whether all members agree on one leader, one has everything that it has, another one
        leads etcd, and etcd was well when the engine last asked: after two failures in a row it
        still says "healthy"."""
        states = self._states()
        return (
            all(map(_etcd_is_well, self.machines))
            and len(states) == len(self.machines)
            and len({state.leader for state in states}) == 1
            and all(state.leader and state.successor for state in states)
            and all(state.own and (state.own.leads or state.own.follows) for state in states)
            and self.etcd_leader not in (None, self.leader)
        )

    def _states(self) -> list[PatroniState]:
        return [state for state in map(self.state, self.machines) if state]

    def await_whole(self) -> None:
        wait_until(self.is_whole, "the database is whole again", timeout=180)

"""The database's members, as they tell themselves."""

from __future__ import annotations

from dataclasses import dataclass

from facts.patroni import Patroni, PatroniState
from tests.machine.machines import Machine, wait_until

DATABASE = "quaylab-database"
ETCD_HEALTH = (
    "inspect --format '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' quaylab-etcd"
)


def inside(machine: Machine, command: str) -> str:
    """Return the command that runs another one in the database's container."""
    return f"{machine.engine} exec {DATABASE} {command}"


def answer(machine: Machine, command: str) -> list[str]:
    """Return what a machine answers to a fact's command, which is for Docker outside of a run."""
    asked = command.replace("docker exec", f"{machine.engine} exec")
    return machine.run(asked, check=False).stdout.splitlines()


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

    def is_whole(self) -> bool:
        """Whether all members agree on one leader, one has everything that it has, and etcd was
        well when the engine last asked: after two failures in a row it still says "healthy"."""
        states = self._states()
        return (
            all(map(_etcd_is_well, self.machines))
            and len(states) == len(self.machines)
            and len({state.leader for state in states}) == 1
            and all(state.leader and state.successor for state in states)
            and all(state.own and (state.own.leads or state.own.follows) for state in states)
        )

    def _states(self) -> list[PatroniState]:
        return [state for state in map(self.state, self.machines) if state]

    def await_whole(self) -> None:
        wait_until(self.is_whole, "the database is whole again", timeout=180)

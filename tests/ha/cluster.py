"""The database's members, as they tell themselves."""

from __future__ import annotations

from dataclasses import dataclass

from facts.patroni import Patroni, PatroniState
from tests.machine.machines import Machine, wait_until

DATABASE = "quaylab-database"
ETCD_HEALTH = (
    "docker inspect --format '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' "
    "quaylab-etcd"
)


@dataclass(frozen=True)
class Cluster:
    machines: list[Machine]

    def state(self, machine: Machine) -> PatroniState | None:
        fact = Patroni()
        command = fact.command(container=DATABASE).get_raw_value()
        return fact.process(machine.run(command, check=False).stdout.splitlines())

    @property
    def leader(self) -> Machine:
        name = next(filter(None, (state.leader for state in self._states())), None)
        return next(machine for machine in self.machines if machine.name == name)

    def is_whole(self) -> bool:
        """Whether all members agree on one leader, one has everything that it has, and etcd was
        well when the engine last asked: after two failures in a row it still says "healthy"."""
        states = self._states()
        return (
            all(
                machine.run(ETCD_HEALTH, check=False).stdout.split() == ["healthy", "0"]
                for machine in self.machines
            )
            and len(states) == len(self.machines)
            and len({state.leader for state in states}) == 1
            and all(state.leader and state.successor for state in states)
            and all(state.own and (state.own.leads or state.own.follows) for state in states)
        )

    def _states(self) -> list[PatroniState]:
        return [state for state in map(self.state, self.machines) if state]

    def await_whole(self) -> None:
        wait_until(self.is_whole, "the database is whole again", timeout=180)

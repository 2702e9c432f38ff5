"""Taking down: what a run made, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from facts.containers import Engine, EngineState
from facts.files import Directories
from facts.trust import Name, NameState
from operations import teardown
from quaylab.machine import Volume
from quaylab.parts import PATH_LABEL
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost
from tests.unit.samples import machine
from tests.unit.shell import Shell
from tests.unit.states import state


def test_containers_go_quay_first_and_volumes_stay(lab: Plan) -> None:
    parts = lab.parts_of("quay.example.com")
    found = {part.container.name: state(part.container) for part in parts}
    found["quaylab-stranger"] = state(lab.redis.container)
    engine = EngineState(found, ("quaylab",), ("quaylab-database",), {})
    commands = FakeHost({Engine: engine}).shell(teardown.containers, plan=lab)
    stopped = [command.split()[2] for command in commands if command.startswith("docker stop")]
    assert stopped == ["quaylab-quay", "quaylab-redis", "quaylab-database"]
    assert commands[-1].startswith("docker network rm quaylab")
    assert not any("volume rm" in command or "stranger" in command for command in commands)


def test_nothing_there_is_nothing_to_do(lab: Plan) -> None:
    host = FakeHost()
    assert host.shell(teardown.containers, plan=lab) == []
    assert host.shell(teardown.data, plan=lab) == []
    assert len(host.noops) == 2


@pytest.mark.parametrize("mounted", [True, False])
def test_a_mount_point_is_emptied_and_stays(
    lab: Plan, shell: Shell, tmp_path: Path, mounted: bool
) -> None:
    data = tmp_path / "data"
    (data / "sha256").mkdir(parents=True)
    shell.stub("mountpoint", f"exit {0 if mounted else 32}")
    shell.stub("docker", ":")
    bearing = machine(volumes=(Volume("quaylab-quay-storage", {PATH_LABEL: str(data)}),))
    lab = dataclasses.replace(lab, machines={"quay.example.com": bearing})
    host = FakeHost({Directories: [str(data)]})
    (command,) = host.shell(teardown.data, plan=lab)
    assert shell.run(command).returncode == 0
    assert data.exists() is mounted
    assert not (data / "sha256").exists()


def test_data_goes_wherever_it_was_put(lab: Plan) -> None:
    bearing = machine(volumes=(Volume("quaylab-database", {PATH_LABEL: "/srv/db"}),))
    lab = dataclasses.replace(lab, machines={"quay.example.com": bearing})
    there = ["/etc/quaylab", "/srv/db"]
    host = FakeHost(
        {
            Engine: EngineState({}, (), ("quaylab-database",), {}),
            Directories: there,
            Name: NameState(True, "127.0.0.1"),
        }
    )
    commands = host.shell(teardown.data, plan=lab)
    assert [command.split()[3] for command in commands[:2]] == there
    assert commands[2].startswith("docker volume rm quaylab-database")
    assert "/etc/hosts" in commands[3]


def test_credentials_go_last_of_all(lab: Plan) -> None:
    (command,) = FakeHost().operate(teardown.credentials, plan=lab)
    command.function()  # type: ignore[union-attr]
    assert not lab.store.exists
    host = FakeHost()
    assert host.operate(teardown.credentials, plan=lab) == []
    assert host.noops == [f"{lab.store.path} is not there"]


def test_credentials_stay_while_data_is_encrypted_with_their_key(lab: Plan) -> None:
    elsewhere = dataclasses.replace(lab.topology.database, host=None)
    spread = dataclasses.replace(lab.topology.database, host="db.example.com")
    for database, reason in ((elsewhere, "encrypted"), (spread, "db.example.com took no part")):
        topology = dataclasses.replace(lab.topology, database=database)
        host = FakeHost()
        assert (
            host.operate(teardown.credentials, plan=dataclasses.replace(lab, topology=topology))
            == []
        )
        assert reason in host.noops[0]
    assert lab.store.exists

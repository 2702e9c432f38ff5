"""Teardown: it removes what a run created, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import DeployError

from facts import engines
from facts.containers import Engine
from facts.files import Files, Paths
from facts.trust import Name, NameState
from operations import teardown
from quaylab.engines import DOCKER, PODMAN, ContainerEngine
from quaylab.engines.state import EngineState
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import (
    CREDENTIALS_LABEL,
    DIGEST_LABEL,
    PATH_LABEL,
    FileState,
    ManagedFile,
)
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit import fronted
from tests.unit.balanced import BALANCERS
from tests.unit.fake_host import FakeHost
from tests.unit.samples import build, machine
from tests.unit.samples import host as host_input
from tests.unit.shell import Shell
from tests.unit.states import state

NAME = "quay.example.com"


def test_containers_are_removed_quay_first_and_volumes_stay(lab: Plan) -> None:
    ours = [each.container for each in lab.workloads_of(NAME)]
    found = {container.name: state(container) for container in ours}
    found["quaylab-stranger"] = state(lab.workload("redis", NAME).container)
    engine = EngineState(found, {"quaylab": "n1"}, ("quaylab-database",), {})
    commands = FakeHost({Engine: engine}).shell(teardown.containers, plan=lab)
    stopped = [command.split()[2] for command in commands if command.startswith("docker stop")]
    assert stopped == ["quaylab-quay", "quaylab-redis", "quaylab-database"]
    removed = [command.split(" && ")[1].split()[:2] for command in commands[:-1]]
    assert removed == [["docker", "rm"]] * 3
    assert "docker network rm quaylab" in commands[-1]
    assert not any("volume rm" in command or "stranger" in command for command in commands)


@pytest.mark.parametrize("note", ["registry", "schema", "storage"])
def test_a_host_whose_engine_was_removed_is_refused(lab: Plan, note: str) -> None:
    """A purge would remove the credentials while the volumes stay on the disk."""
    owner = f"{lab.credentials.fingerprint} {NAME} lab 0.1.0 podman"
    notes = {"registry": owner, "schema": "v3.18.0", "storage": f"{owner.split()[0]} default local"}
    refused = dataclasses.replace(lab, machines={NAME: machine(**{note: notes[note]})})
    install = "Podman" if note == "registry" else "Docker"
    with (
        FakeHost().current(),
        pytest.raises(DeployError, match=f"would stay; install {install} again, or "),
    ):
        teardown.check_owner(refused)


def test_the_copy_of_a_killed_run_is_removed(lab: Plan) -> None:
    found = machine(containers={"quaylab-copy-blobs": {}})
    lab = dataclasses.replace(lab, machines={NAME: found})
    (command,) = FakeHost().shell(teardown.containers, plan=lab)
    assert command.startswith("docker rm --force --volumes quaylab-copy-blobs ")


@pytest.mark.parametrize("service", ["balancer", "ingress"])
def test_what_a_former_balancer_has_is_removed(store: Store, service: str) -> None:
    lab = fronted.running(fronted.made(store), BALANCERS[1], service)
    shrunk = dataclasses.replace(fronted.made(store, balancers=1), machines=lab.machines)
    host = FakeHost({Engine: lab.machines[BALANCERS[1]].state}, BALANCERS[1])
    first, *_ = host.shell(teardown.containers, plan=shrunk)
    assert first.startswith(f"docker stop quaylab-{service} ")


@pytest.mark.parametrize("service", ["database", "redis"])
def test_the_container_of_a_service_that_has_left_the_host_is_removed(
    lab: Plan, service: str
) -> None:
    """Also if it is stopped: Podman's has no digest then, but its unit has labels. One that was
    made by hand has none, and stays."""
    name = f"quaylab-{service}"
    found = {each.container.name: state(each.container) for each in lab.workloads_of(NAME)}
    found[name] = dataclasses.replace(found[name], state="exited", digest="")
    engine = EngineState(found, {"quaylab": "n1"}, (), {})
    left = dataclasses.replace(lab.topology, hosts={**lab.topology.hosts, service: ()})
    for labels, is_removed in (({DIGEST_LABEL: "d1"}, True), ({}, False)):
        machines = {NAME: machine(state=engine, containers={name: labels})}
        planned = {NAME: tuple(w for w in lab.workloads_of(NAME) if w.service != service)}
        plan = dataclasses.replace(lab, topology=left, machines=machines, workloads=planned)
        commands = FakeHost({Engine: engine}).shell(teardown.containers, plan=plan)
        removed = [command.split()[2] for command in commands[:-1]]
        assert removed[0] == "quaylab-quay"
        assert (name in removed) is is_removed


def test_an_empty_host_needs_nothing(lab: Plan) -> None:
    host = FakeHost()
    assert host.shell(teardown.containers, plan=lab) == []
    assert host.shell(teardown.data, plan=lab) == []
    assert len(host.noops) == 2


@pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=str)
@pytest.mark.parametrize(
    ("label", "left", "kept"),
    [
        ("quaylab", "", ""),
        ("quaylab", "c0ffee", "has containers of others, and stays\n"),
        ("", "", "stays: it was made by others, or by an earlier Quaylab; to remove it: "),
    ],
    ids=["ours", "used by others", "without our label"],
)
def test_only_our_own_unused_network_is_removed(
    lab: Plan, shell: Shell, engine: ContainerEngine, label: str, left: str, kept: str
) -> None:
    shell.stub(
        engine.name, f"case $1$2 in ps*) echo {left} ;; networkinspect) echo {label} ;; esac"
    )
    host: Any = FakeHost({Engine: EngineState({}, {"quaylab": "n1"}, (), {})})
    engines.use(host, engine)
    (command,) = host.shell(teardown.containers, plan=lab)
    done = shell.run(command)
    assert done.returncode == 0
    assert (f"{engine.name} network rm quaylab" in shell.calls) is (kept == "")
    assert kept in done.stderr
    assert (done.stderr == "") is (kept == "")


def _plan_with(lab: Plan, *volumes: Volume) -> Plan:
    return dataclasses.replace(lab, machines={NAME: machine(volumes=volumes)})


def _volume(
    lab: Plan, name: str, path: str = "", device: str | None = None, owner: str | None = None
) -> Volume:
    labels = {CREDENTIALS_LABEL: owner or lab.credentials.fingerprint, PATH_LABEL: path}
    return Volume(name, labels, device)


@pytest.mark.parametrize("mounted", [True, False])
def test_a_mount_point_is_emptied_and_stays(
    lab: Plan, shell: Shell, tmp_path: Path, mounted: bool
) -> None:
    """An earlier Quaylab made the volume in the setting's directory itself."""
    data = tmp_path / "data"
    (data / "sha256").mkdir(parents=True)
    shell.stub("mountpoint", f"exit {0 if mounted else 32}")
    lab = _plan_with(lab, _volume(lab, "quaylab-quay-storage", str(data), str(data)))
    command, _ = FakeHost({Paths: [str(data)]}).shell(teardown.data, plan=lab)
    assert shell.run(command).returncode == 0
    assert data.exists() is mounted
    assert not (data / "sha256").exists()


@pytest.mark.parametrize("beside", [True, False])
def test_files_beside_the_data_stay(lab: Plan, shell: Shell, tmp_path: Path, beside: bool) -> None:
    path = tmp_path / "srv"
    data = path / "quaylab-database"
    (data / "userdata").mkdir(parents=True)
    if beside:
        (path / "theirs").touch()
    shell.stub("mountpoint", "exit 32")
    lab = _plan_with(lab, _volume(lab, "quaylab-database", str(path), str(data)))
    directory, parent, _ = FakeHost({Paths: [str(data)]}).shell(teardown.data, plan=lab)
    assert shell.run(f"{directory}; {parent}").returncode == 0
    assert not data.exists()
    assert path.exists() is beside


def test_data_is_removed_wherever_it_is_and_the_notes_last(lab: Plan) -> None:
    device = "/srv/db/quaylab-database"
    lab = _plan_with(lab, _volume(lab, "quaylab-database", "/srv/db", device))
    host = FakeHost(
        {
            Paths: ["/etc/quaylab", "/var/lib/quaylab", device],
            Name: NameState(True, "127.0.0.1"),
        }
    )
    directory, parent, volume, line, etc, var = host.shell(teardown.data, plan=lab)
    assert f"rm -rf {device} ;" in directory
    assert parent.startswith("rmdir /srv/db ")
    assert volume.startswith("docker volume rm quaylab-database")
    assert "/etc/hosts" in line
    assert "$(readlink -f /etc/quaylab )" in etc
    assert "$(readlink -f /var/lib/quaylab )" in var


# Refuses to remove what would be the mount point of a disk.
RMDIR = """
for each; do case $each in */dumps) failed=1 ;; *) /usr/bin/rmdir "$each" || failed=1 ;; esac; done
exit ${failed:-0}
"""


@pytest.mark.parametrize("mounted", [True, False], ids=["a mounted disk", "no disk"])
@pytest.mark.parametrize("linked", [True, False], ids=["a link", "a directory"])
def test_passwords_and_notes_are_removed_wherever_they_are(
    lab: Plan, shell: Shell, tmp_path: Path, linked: bool, mounted: bool
) -> None:
    """A second purge of what a first one has left works as well."""
    var, disk, theirs = (tmp_path / name for name in ("quaylab", "disk", "theirs"))
    place = disk if linked else var
    (place / "dumps").mkdir(parents=True)
    for path in (place / "registry", place / "dumps" / "a b.dump", theirs):
        path.touch()
    (place / "others").symlink_to(theirs)
    if linked:
        var.symlink_to(disk)
    if mounted:
        shell.stub("rmdir", RMDIR)
    (command,) = FakeHost({Paths: ["/var/lib/quaylab"]}).shell(teardown.data, plan=lab)
    for _ in range(2):
        assert shell.run(command.replace("/var/lib/quaylab", str(var))).returncode == 0
        left = [place / "dumps", place] if mounted else []
        found = {path for path in tmp_path.rglob("*") if path.is_relative_to(place)}
        assert found == set(left)
        assert not var.is_symlink()
        assert theirs.exists()


def test_the_line_of_a_former_name_is_removed(lab: Plan) -> None:
    host = FakeHost({Name: NameState(False, None, has_former_name=True)})
    (command,) = host.shell(teardown.data, plan=lab)
    assert "grep -av ' # quaylab$' /etc/hosts" in command


def test_volumes_of_others_stay(lab: Plan) -> None:
    lab = _plan_with(
        lab,
        _volume(lab, "quaylab-database", "/srv/db", "/srv/db", "fedcba9876543210-01234567"),
        Volume("quaylab-quay-storage", {}),
    )
    host = FakeHost({Paths: ["/srv/db"]})
    assert host.shell(teardown.data, plan=lab) == []


def test_only_our_own_ca_is_removed_from_dockers_directory(
    lab: Plan, shell: Shell, tmp_path: Path
) -> None:
    """A client's certificate beside it belongs to somebody else."""
    trust = DOCKER.trust(lab.topology.registry)
    (command,) = FakeHost({Paths: [trust]}).shell(teardown.data, plan=lab)
    folder = tmp_path / "quay.example.com"
    for left in ((), ("client.cert",)):
        folder.mkdir(exist_ok=True)
        for name in ("ca.crt", *left):
            (folder / name).touch()
        assert shell.run(command.replace(str(Path(trust).parent), str(folder))).returncode == 0
        assert [path.name for path in folder.glob("*")] == list(left)


@pytest.mark.parametrize("is_ours", [True, False], ids=["from before it", "the user's"])
def test_a_ca_beside_an_own_certificate_is_removed_if_it_is_ours(lab: Plan, is_ours: bool) -> None:
    trust = DOCKER.trust(lab.topology.registry)
    assert lab.credentials.ca_certificate
    content = lab.credentials.ca_certificate if is_ours else "the company's CA"
    there = FileState(0, 0, 0o644, ManagedFile(trust, content).sha256)
    host = FakeHost({Paths: [trust], Files: {trust: there}})
    lab = dataclasses.replace(lab, certificate=dataclasses.replace(lab.certificate, ca=None))
    assert len(host.shell(teardown.data, plan=lab)) == is_ours


def test_credentials_are_removed_last(lab: Plan) -> None:
    (command,) = FakeHost().operate(teardown.credentials, plan=lab)
    command.function()  # type: ignore[union-attr]
    assert not lab.store.exists
    host = FakeHost()
    assert host.operate(teardown.credentials, plan=lab) == []
    assert host.noops == [f"{lab.store.path} is not there"]


def test_credentials_stay_while_encrypted_data_needs_their_key(
    lab: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    quay = host_input(NAME, ["quay", "redis"], address="192.168.254.10")
    database = host_input("db.example.com", ["database"], address="192.168.254.11")
    elsewhere = build([quay], database_host="192.168.254.11")
    for topology, reason in (
        (elsewhere, f"{lab.store.path} stays: the database elsewhere is encrypted with its key"),
        (build([quay, database]), f"{lab.store.path} stays"),
    ):
        host = FakeHost()
        plan = dataclasses.replace(lab, topology=topology)
        assert host.operate(teardown.credentials, plan=plan) == []
        assert host.noops == [reason]
    assert "db.example.com takes no part, so " in caplog.text
    assert lab.store.exists

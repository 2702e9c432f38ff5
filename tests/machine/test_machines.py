"""The machines themselves, which the other tests of this tier rely on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machines import (
    LABEL,
    PROJECT,
    Machine,
    MachineFactory,
    Operator,
    build_image,
    run,
    sweep_dead_sessions,
)


@pytest.fixture(scope="module")
def machine(machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("docker1")
    yield machine
    machine.destroy()


def test_pyinfra_becomes_root_over_ssh(
    machine: Machine, operator: Operator, tmp_path: Path
) -> None:
    inventory = operator.inventory(tmp_path, {"quay": [machine]}, {"motto": "hello"})
    result = operator.pyinfra(inventory, "exec", "--", "id -u; hostname").check()
    assert "[docker1] 0\n" in result.stderr
    assert "[docker1] docker1\n" in result.stderr
    assert [host for _, host in result.changed()] == ["docker1"]


def test_unknown_host_key_is_refused(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Operator(tmp_path / "stranger")
    inventory = stranger.inventory(tmp_path, {"quay": [machine]})
    result = stranger.pyinfra(inventory, "exec", "--", "true")
    assert result.returncode == 1
    assert "No host key for" in result.output


def test_engine_builds_with_the_network(machine: Machine) -> None:
    """Images are built on the machine from the distribution's packages."""
    image = build_image("bare")
    machine.load_images([image])
    dockerfile = f"FROM {image}\nRUN apt-get update && echo reached\n"
    assert "reached" in machine.run("docker build -", input=dockerfile).stdout
    assert machine.run("docker info --format '{{.Driver}}'").stdout == "overlay2\n"


def test_reboot_and_crash_bring_everything_back(machine: Machine) -> None:
    image = build_image("bare")
    machine.load_images([image])
    machine.run(f"docker run -d --init --name survivor --restart always {image} sleep infinity")
    machine.run("echo 198.18.255.1 elsewhere >>/etc/hosts")
    for interrupt in (machine.reboot, machine.crash):
        before = machine.run("systemctl show --property UserspaceTimestampMonotonic").stdout
        interrupt()
        assert machine.run("systemctl show --property UserspaceTimestampMonotonic").stdout != before
        assert "survivor" in machine.run("docker ps --format '{{.Names}}'").stdout
        assert "elsewhere" in machine.run("cat /etc/hosts").stdout


def test_bare_machine_has_what_pip_needs(machine_factory: MachineFactory) -> None:
    machine = machine_factory("bare1", "bare")
    try:
        assert machine.run("command -v docker", check=False).returncode
        machine.run("apt-get update && apt-get install -y --no-install-recommends python3-venv")
        machine.run("python3 -m venv venv && venv/bin/pip install six")
    finally:
        machine.destroy()


def test_files_and_the_project_arrive(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("read me")
    machine.put(tmp_path, "/tmp/folder")
    assert machine.run("cat /tmp/folder/note").stdout == "read me"

    machine.put_project("/root/quaylab")
    machine.run("test -x quaylab/lab -a -x quaylab/.ci/run")
    assert machine.run("test -e quaylab/.venv", check=False).returncode


def test_destroyed_machine_leaves_nothing(machine_factory: MachineFactory) -> None:
    machine = machine_factory("gone", "bare")
    machine.destroy()
    for kind in ("container", "volume"):
        everything = ["--all"] if kind == "container" else []
        assert machine.container not in run("docker", kind, "ls", *everything).stdout


def test_killed_session_is_swept_by_the_next(tmp_path: Path) -> None:
    session = (
        "import os, pathlib, sys\n"
        "from tests.machine.machines import MachineFactory, Operator\n"
        "MachineFactory(Operator(pathlib.Path(sys.argv[1])))('orphan', 'bare')\n"
        "print(os.getpid(), flush=True)\n"
        "os._exit(1)\n"
    )
    argv = ["env", f"PYTHONPATH={PROJECT}", sys.executable, "-c", session, str(tmp_path)]
    owner = run(*argv, check=False).stdout.strip()

    def left() -> list[bool]:
        listings = (["container", "ls", "--all"], ["volume", "ls"], ["network", "ls"])
        label = f"--filter=label={LABEL}={owner}"
        return [bool(run("docker", *listing, "--quiet", label).stdout) for listing in listings]

    assert left() == [True, True, True]
    sweep_dead_sessions()
    assert left() == [False, False, False]

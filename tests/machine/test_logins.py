"""Machines on which the SSH user's session has a banner, a sudo policy or no shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quaylab.settings.loading import HostInput
from tests.hosts.connection import connect, engine_of
from tests.machine.machines import Machine, MachineFactory, Operator, Result

PARTS = ("quay", "database", "redis")
SAYS = "echo 'Welcome, uid 0'; printf 'no line end'"


@pytest.fixture(scope="module")
def machine(machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("login")
    yield machine
    machine.destroy()


@pytest.fixture
def inventory(machine: Machine, operator: Operator, tmp_path: Path) -> Path:
    data = {"lab_name": "logins", "image_source": "packages", "server_hostname": "quay.logins.lan"}
    return operator.inventory(tmp_path, {part: [machine] for part in PARTS}, data)


def _refused(result: Result, message: str) -> None:
    assert result.returncode == 1
    assert "nothing was changed" in result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_output_of_a_login_script_is_ignored(
    machine: Machine, operator: Operator, inventory: Path
) -> None:
    plan = operator.pyinfra(inventory, "deploy.py", "--dry").planned()
    assert plan
    machine.run(f'sed -i "1i {SAYS}" /home/admin/.bashrc')
    try:
        assert "Welcome" in operator.pyinfra(inventory, "exec", "--", ":", "-vvv").output
        assert operator.pyinfra(inventory, "deploy.py", "--dry").planned() == plan
        first = operator.pyinfra(inventory, "tasks/engine.py")
        assert first.changed()
        assert operator.pyinfra(inventory, "tasks/engine.py").changed() == []
        secret = machine.run("passwd admin", input="hunter22\nhunter22\n")
        assert secret.returncode == 0
        machine.run("sed -i s/NOPASSWD:// /etc/sudoers.d/admin")
        data = ("--data", "_sudo_password=hunter22")
        assert operator.pyinfra(inventory, "tasks/engine.py", *data).changed() == []
    finally:
        machine.run("sed -i 1d /home/admin/.bashrc")
        machine.run("sed -i 's/ALL$/NOPASSWD: ALL/' /etc/sudoers.d/admin")


def test_output_of_a_login_script_is_ignored_by_the_hosts_tests(
    machine: Machine, operator: Operator
) -> None:
    machine.run(f'sed -i "1i {SAYS}" /home/admin/.bashrc')
    try:
        host = connect(HostInput("login", PARTS, operator.host_data(machine)), False, None)
        assert host.run("echo a; echo b >&2; exit 3").stdout == "a\n"
        assert host.run("exit 3").rc == 3
        with engine_of(host) as engine:
            assert engine.version()["Os"] == "linux"
    finally:
        machine.run("sed -i 1d /home/admin/.bashrc")


def test_sudo_wants_a_terminal(machine: Machine, operator: Operator, inventory: Path) -> None:
    machine.run("echo 'Defaults:admin requiretty' >/etc/sudoers.d/terminal")
    try:
        result = operator.pyinfra(inventory, "deploy.py")
        _refused(result, "_sudo: sudo on login wants a terminal; write `Defaults:USER")
    finally:
        machine.run("rm /etc/sudoers.d/terminal")


@pytest.mark.parametrize(
    ("shell", "reason"), [("/usr/sbin/nologin", "not available"), ("/bin/false", "nothing")]
)
def test_a_user_without_a_shell(
    machine: Machine, operator: Operator, inventory: Path, shell: str, reason: str
) -> None:
    machine.run(f"usermod --shell {shell} admin")
    try:
        result = operator.pyinfra(inventory, "deploy.py")
        _refused(result, "login: runs no command for this user, and says: ")
        assert reason in result.output
    finally:
        machine.run("usermod --shell /bin/bash admin")


def test_without_etc_hosts(machine: Machine, operator: Operator, inventory: Path) -> None:
    """Docker mounts one into each container, so it is unmounted first."""
    machine.run("umount /etc/hosts; rm -f /etc/hosts")
    operator.pyinfra(inventory, "tasks/engine.py").check()
    assert "quay.logins.lan # quaylab" in machine.run("cat /etc/hosts").stdout
    assert operator.pyinfra(inventory, "tasks/engine.py").changed() == []


@pytest.mark.parametrize("note", ["schema", "storage"])
def test_a_note_that_is_not_text_is_reported(
    machine: Machine, operator: Operator, inventory: Path, note: str
) -> None:
    machine.run(f"mkdir -p /var/lib/quaylab; printf 'v3.18.0\\377' >/var/lib/quaylab/{note}")
    try:
        _refused(operator.pyinfra(inventory, "deploy.py"), f"/var/lib/quaylab/{note}")
    finally:
        machine.run(f"rm /var/lib/quaylab/{note}")

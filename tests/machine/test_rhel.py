"""A registry on a machine that says it is RHEL 9, by Podman, which no setting asks for.

Real there are rpm, dnf, firewalld and SELinux's tools; tests/machine/rhel says what is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from quaylab.engines import units
from quaylab.images import base_image
from tests.machine import rhel_image
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.drifting import REDIS, VERIFY
from tests.machine.machines import Machine, MachineFactory, Operator, wait_until
from tests.machine.observed import IMAGE_OF
from tests.machine.registry_client import RegistryClient

pytestmark = [pytest.mark.podman, pytest.mark.long]
PUSHED = f"{ADMIN}/redis:kept"
# Data in directories gets a type of SELinux's.
DIRECTORIES = {"database_data": "/srv/database", "quay_storage_path": "/srv/blobs"}
LABELLED = ("/srv/database/quaylab-database", "/srv/blobs/quaylab-quay-storage")
INSTALL = "tasks/engine.py | Install Podman"
UNIT = units.path("quaylab-redis")


@dataclass(frozen=True)
class Rhel:
    """The machine, its registry, and a client of that elsewhere."""

    machine: Machine
    lab: Deployment
    client: RegistryClient

    def refused(self) -> str:
        """Return what a run says that must be refused, and not by a traceback."""
        result = self.lab.run()
        assert result.returncode != 0
        assert "Traceback" not in result.output
        return result.output


@pytest.fixture(scope="module")
def rhel(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rhel]:
    machine = machine_factory("rhel", "podman", image=rhel_image.build())
    # Podman as root needs no subordinate ids.
    machine.run("rm -f /etc/subuid /etc/subgid")
    groups = {part: [machine] for part in IMAGE_OF}
    lab = Deployment.of(operator, tmp_path_factory.mktemp("rhel"), groups, **DIRECTORIES)
    lab.run("tasks/engine.py").check()
    machine.load_images([base_image().reference, *(images[each] for each in IMAGE_OF.values())])
    lab.run().check()
    other = machine_factory("rhel-client", "stocked")
    client = RegistryClient(other, HOSTNAME)
    client.know(machine.address)
    client.trust(lab.ca)
    yield Rhel(machine, lab, client)
    lab.forget()
    machine.destroy()
    other.destroy()


def test_dnf_installed_podman(rhel: Rhel) -> None:
    packages = "podman crun netavark aardvark-dns policycoreutils-python-utils"
    rhel.machine.run(f"rpm --query {packages}")
    assert rhel.machine.run("command -v docker apt-get", check=False).stdout == ""
    assert rhel.lab.changed() == []


def test_a_client_gets_through_firewalld(rhel: Rhel, images: dict[str, str]) -> None:
    assert rhel.client.login(ADMIN, rhel.lab.password).returncode == 0
    rhel.client.push(images["redis"], PUSHED)
    for when in ("", "--permanent"):
        ports = rhel.machine.run(f"firewall-cmd {when} --list-ports").stdout.split()
        assert ports == ["80/tcp", "443/tcp"]


def test_firewalls_reload_cuts_nothing(rhel: Rhel) -> None:
    pulled = rhel.client.pull(PUSHED)
    rhel.machine.run("firewall-cmd --reload")
    wait_until(
        lambda: rhel.client.login(ADMIN, rhel.lab.password).returncode == 0,
        "netavark's rules are made again",
    )
    assert rhel.client.pull(PUSHED) == pulled
    assert rhel.lab.changed() == []


def test_data_directories_have_selinuxs_type(rhel: Rhel) -> None:
    rules = rhel.machine.run("semanage fcontext --list --locallist --noheading").stdout
    for directory in LABELLED:
        escaped = directory.replace("-", r"\-")
        assert f"{escaped}(/.*)?" in rules
        label = rhel.machine.run(
            f'python3 -c \'import os; print(os.getxattr("{directory}", "security.selinux"))\''
        ).stdout
        assert ":container_file_t:" in label
        # What a relabelling of the whole host would make of it.
        inside = rhel.machine.run(f"matchpathcon -n {directory}/inside").stdout
        assert ":container_file_t:" in inside


def test_only_the_configuration_is_labelled_at_each_start(rhel: Rhel) -> None:
    units = rhel.machine.run("cat /etc/containers/systemd/quaylab-*.container").stdout
    volumes = [line for line in units.splitlines() if line.startswith("Volume=")]
    labelled = [each for each in volumes if each.endswith(("z", ":z"))]
    assert labelled
    assert all(each.startswith("Volume=/etc/quaylab/") for each in labelled)
    assert len(volumes) > len(labelled)


def test_a_reboot_brings_everything_back(rhel: Rhel) -> None:
    pulled = rhel.client.pull(PUSHED)
    rhel.machine.reboot()
    wait_until(
        lambda: rhel.client.login(ADMIN, rhel.lab.password).returncode == 0,
        "the registry is back, with no run",
        timeout=120,
    )
    assert rhel.client.pull(PUSHED) == pulled
    assert rhel.lab.changed() == [VERIFY]


def test_hosts_pass_their_own_tests(rhel: Rhel) -> None:
    rhel.lab.verify()


@pytest.mark.long
def test_what_dnf_has_to_add_to_rhels_own_podman(rhel: Rhel) -> None:
    rhel.machine.run("rpm --erase policycoreutils-python-utils")
    assert rhel.lab.changed() == [INSTALL]
    assert rhel.lab.changed() == []
    # Where SELinux is disabled nothing is labelled.
    rhel.machine.run(
        "rpm --erase policycoreutils-python-utils; "
        "sed -i 's/^SELINUX=.*/SELINUX=disabled/' /etc/selinux/config"
    )
    assert rhel.lab.changed() == []
    rhel.machine.run("sed -i 's/^SELINUX=.*/SELINUX=enforcing/' /etc/selinux/config")


def test_the_command_docker_may_be_podmans(rhel: Rhel) -> None:
    rhel.machine.run("dnf install --quiet --assumeyes podman-docker && docker ps")
    assert rhel.lab.changed() == [INSTALL]
    result = rhel.lab.run("deploy.py", "--data", "container_engine=docker")
    assert result.returncode != 0
    assert "its `docker` is Podman's shim" in result.output
    rhel.machine.run("rpm --erase podman-docker")


@pytest.mark.long
@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("crun", 'not able to work: Error: default OCI runtime "crun" not found'),
        ("aardvark-dns", "without aardvark-dns, so containers don't find each other by name"),
    ],
)
def test_a_podman_without_what_it_needs_is_refused(rhel: Rhel, package: str, reason: str) -> None:
    rhel.machine.run(f"rpm --erase --nodeps {package}")
    assert f"its `podman` is {reason}" in rhel.refused()
    rhel.machine.run(f"dnf install --quiet --assumeyes {package}")
    assert rhel.lab.changed() == []


@pytest.mark.long
def test_sudos_password_where_tmp_is_noexec(rhel: Rhel) -> None:
    machine, inventory = rhel.machine, rhel.lab.inventory
    machine.run(
        "mount -o remount,noexec /tmp && echo admin:a-password | chpasswd && "
        "echo 'admin ALL=(ALL) ALL' >/etc/sudoers.d/admin"
    )
    before = inventory.read_text()
    password = {"_sudo_password": "a-password"}

    def run(**data: str) -> tuple[int, str]:
        inventory.write_text(before.replace("'_sudo': True", f"'_sudo': True, **{data!r}"))
        result = rhel.lab.run("tasks/engine.py")
        return result.returncode, result.output

    code, said = run(**password)
    assert code != 0
    assert "_sudo: sudo on rhel does not get the _sudo_password" in said
    assert "Traceback" not in said
    code, said = run(**password, _temp_dir="/var/tmp")
    assert code == 0, said
    inventory.write_text(before)
    machine.run(
        "mount -o remount,exec /tmp; echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin"
    )


@pytest.mark.long
def test_a_generator_that_refuses_leaves_the_container_as_it_is(rhel: Rhel) -> None:
    generator = "/usr/lib/systemd/system-generators/podman-system-generator"
    refusing = "#!/bin/sh\necho 'unsupported key in group' >&2\nexit 1\n"
    rhel.machine.run(f"mv {generator} /root/generator && cat >{generator}", input=refusing)
    rhel.machine.run(f"chmod +x {generator}; echo '# by hand' >>{UNIT}")
    said = rhel.refused()
    assert "unsupported key in group" in said
    assert "Podman's generator refuses the unit of quaylab-redis; nothing was replaced" in said
    rhel.machine.run("podman exec quaylab-redis true")
    rhel.machine.run(f"mv -f /root/generator {generator}")
    assert rhel.lab.changed() == [REDIS]


def test_a_teardown_leaves_nothing(rhel: Rhel) -> None:
    rhel.lab.run("tasks/teardown.py", "--data", f"purge={HOSTNAME}").check()
    for left in (
        "podman ps --all --format '{{.Names}}'",
        "podman volume ls --quiet",
        "firewall-cmd --list-ports",
        "firewall-cmd --permanent --list-ports",
        "semanage fcontext --list --locallist --noheading",
        # Either may be gone.
        "ls /srv /etc/containers/systemd 2>/dev/null || :",
    ):
        shown = rhel.machine.run(left).stdout
        assert not [line for line in shown.split() if "quaylab" in line or "tcp" in line], left

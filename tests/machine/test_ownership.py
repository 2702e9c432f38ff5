"""No data is lost: neither another registry's, nor what somebody made by hand, nor because an
empty directory or volume replaces a missing one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import Machine, MachineFactory, Operator, Result
from tests.machine.observed import IMAGE_OF, containers, rows
from tests.machine.registry_client import RegistryClient

TEARDOWN = "tasks/teardown.py"
OTHERS_NAME = "other.quaylab.test"
BLOBS, DATABASE = "/srv/blobs", "/srv/database"
PUSHED = f"{ADMIN}/redis:kept"


@dataclass(frozen=True)
class Site:
    """A machine with a disk for blobs, its registry, and the inventory of another registry that
    names the same machine by mistake."""

    machine: Machine
    lab: Deployment
    other: Deployment
    client: RegistryClient

    def state(self) -> dict[str, object]:
        """Return all that must not be lost."""
        found = containers(self.machine)
        return {
            "containers": {name: item["Id"] for name, item in found.items()},
            "volumes": self.machine.run("docker volume ls --quiet | sort").stdout,
            "files": self.machine.run(
                f"find /etc/quaylab /var/lib/quaylab {BLOBS} {DATABASE} -maxdepth 2 | sort"
            ).stdout,
        }

    def refuses(self, result: Result, *messages: str) -> None:
        assert result.returncode != 0
        for message in messages:
            assert message in result.output
        assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def site(
    machine_factory: MachineFactory,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    machine, reader = (machine_factory(name, "stocked") for name in ("owned", "owned-client"))
    machine.run(
        f"mkdir /disk {BLOBS} && echo '/disk {BLOBS} none bind,nofail 0 0' >>/etc/fstab && "
        f"mount {BLOBS}"
    )
    groups = {part: [machine] for part in IMAGE_OF}
    where = {"quay_storage_path": BLOBS, "database_data": DATABASE}
    lab = Deployment.of(operator, tmp_path_factory.mktemp("owned"), groups, **where)
    other = Deployment.of(
        operator, tmp_path_factory.mktemp("others"), groups, server_hostname=OTHERS_NAME
    )
    client = RegistryClient(reader, HOSTNAME)
    client.know(machine.address)
    yield Site(machine, lab, other, client)
    lab.forget()
    other.forget()
    machine.destroy()
    reader.destroy()


def test_a_container_made_by_hand_is_refused_and_not_removed(
    site: Site, images: dict[str, str]
) -> None:
    site.machine.run(
        "docker run --detach --init --name quaylab-redis --user 0 --volume /data "
        f"--entrypoint sleep {images['redis']} infinity && "
        "docker exec quaylab-redis touch /data/theirs"
    )
    made = containers(site.machine)["quaylab-redis"]["Id"]
    site.refuses(site.lab.run(), "container quaylab-redis was not made by Quaylab")
    assert not site.lab.store.exists
    taken_down = site.lab.run(TEARDOWN).check()
    assert "container quaylab-redis was not made by Quaylab, and stays" in taken_down.output
    assert containers(site.machine)["quaylab-redis"]["Id"] == made
    site.machine.run("docker exec quaylab-redis test -e /data/theirs")
    site.machine.run("docker rename quaylab-redis theirs")


def test_the_registry_is_deployed_beside_it(site: Site, images: dict[str, str]) -> None:
    site.lab.run().check()
    assert site.lab.run().changed() == []
    site.client.trust(site.lab.ca)
    assert site.client.login(ADMIN, site.lab.password).returncode == 0
    site.client.push(images["redis"], PUSHED)


@pytest.mark.parametrize("options", [(), ("--data", f"purge={OTHERS_NAME}")], ids=["down", "purge"])
def test_another_inventory_takes_nothing_down(site: Site, options: tuple[str, ...]) -> None:
    before = site.state()
    site.refuses(
        site.other.run(TEARDOWN, *options),
        f"registry {HOSTNAME}, lab_name {site.lab.store.path.stem}",
        f"--data purge={HOSTNAME}",
    )
    assert site.state() == before
    assert not site.other.store.exists


def test_another_inventory_deploys_nothing(site: Site) -> None:
    before = site.state()
    site.refuses(site.other.run(), f"registry {HOSTNAME}", f"--data purge={HOSTNAME}")
    assert site.state() == before


@pytest.mark.parametrize("options", [(), ("--data", f"purge={HOSTNAME}")], ids=["down", "purge"])
def test_without_its_credentials_nothing_is_taken_down(
    site: Site, options: tuple[str, ...]
) -> None:
    before, saved = site.state(), site.lab.store.load(environment={})
    site.lab.store.remove()
    refused = site.lab.run(TEARDOWN, *options)
    assert not site.lab.store.exists
    site.lab.store.save(saved)
    site.refuses(refused, "is missing", saved.fingerprint)
    assert site.state() == before


def test_nothing_is_written_below_an_unmounted_disk(site: Site) -> None:
    """Neither by the engine, which starts containers after a reboot, nor by a run."""
    data = rows(site.machine)
    site.machine.run(f"sed -i '\\|{BLOBS}|s/^/#/' /etc/fstab")
    site.machine.reboot()
    time.sleep(5)
    assert containers(site.machine)["quaylab-quay"]["State"]["Status"] == "exited"
    for task in (("deploy.py",), ("deploy.py", "--dry")):
        site.refuses(
            site.lab.run(*task),
            f"quay_storage_path: nothing is in {BLOBS}/quaylab-quay-storage on owned",
            f"mount the disk of {BLOBS}",
        )
    assert site.machine.run(f"ls -A {BLOBS}").stdout == ""
    site.machine.run(f"sed -i '\\|{BLOBS}|s/^#//' /etc/fstab && mount {BLOBS}")
    assert site.lab.changed() == ["tasks/quay.py | Run Quay"]
    assert rows(site.machine) == data
    assert site.client.pull(PUSHED)


def test_a_lost_volume_is_not_created_again(site: Site) -> None:
    data = rows(site.machine)
    site.machine.run("docker rm --force quaylab-database && docker volume rm quaylab-database")
    refused = site.lab.run()
    site.refuses(
        refused,
        "volume quaylab-database is not on owned, but /var/lib/quaylab/schema on owned says",
        "tasks/restore_database.py",
        f"--data purge={HOSTNAME}",
    )
    # Its data is still in the directory: the command in the message recreates the volume.
    (command,) = set(re.findall(r"docker volume create .*? quaylab-database", refused.output))
    site.machine.run(command)
    site.lab.run().check()
    assert rows(site.machine) == data
    assert site.client.pull(PUSHED)


def test_down_and_up_again_keeps_everything(site: Site) -> None:
    site.lab.run(TEARDOWN).check()
    assert set(containers(site.machine)) == {"theirs"}
    site.lab.run().check()
    assert site.client.pull(PUSHED)


def test_a_changed_port_leaves_no_trust_behind(site: Site) -> None:
    site.lab.run("deploy.py", "--data", "quay_https_port=8443").check()
    assert site.machine.run("ls /etc/docker/certs.d").stdout == f"{HOSTNAME}:8443\n"


def test_a_purge_removes_its_registry_and_nothing_else(site: Site) -> None:
    site.machine.run(f"touch {DATABASE}/theirs")
    site.lab.run(TEARDOWN, "--data", f"purge={HOSTNAME}").check()
    assert set(containers(site.machine)) == {"theirs"}
    assert site.machine.run(f"ls -A {BLOBS} /disk {DATABASE}").stdout.split() == [
        "/disk:", f"{BLOBS}:", f"{DATABASE}:", "theirs",
    ]  # fmt: skip
    left = site.machine.run("docker volume ls --quiet --filter name=quaylab").stdout
    assert left == ""
    for path in ("/etc/quaylab", "/var/lib/quaylab", "/etc/docker/certs.d/*"):
        site.machine.run(f"test ! -e {path}")
    assert not site.lab.store.exists
    site.lab.run(TEARDOWN, "--data", f"purge={HOSTNAME}").check()
    site.other.run().check()

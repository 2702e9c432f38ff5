"""PostgreSQL 17 becomes 18, and 17 again, by the commands of docs/upgrade.md and operation.md."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.ha.load import Counts, Load, RequestFailed
from tests.machine import newer_postgresql
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import LABEL, Machine, MachineFactory, Operator
from tests.machine.page import commands

STOP, _ = commands("operation.md", "Stopping Quay")
DUMP, ASIDE, _, RESTORE, _, REMOVE = commands("upgrade.md", "Another major version")
# A volume's label has the version that the image's name has.
OLD = f"{LABEL}/postgresql-17:1"
VERSION = "docker exec quaylab-database psql --tuples-only --command='SHOW server_version'"


@dataclass(frozen=True)
class Site:
    lab: Deployment
    machine: Machine
    new: str
    load: Load

    def version(self) -> str:
        return self.machine.run(VERSION).stdout.strip().partition(".")[0]

    def take(self, before: str, after: str) -> None:
        """Set another image of PostgreSQL."""
        settings = self.lab.inventory.parent / "group_data" / "all.py"
        settings.write_text(settings.read_text().replace(before, after))

    def task(self, block: str, *options: str) -> None:
        """Run a block of the page that calls pyinfra."""
        program, _, task = block.split()
        assert program == "pyinfra"
        self.lab.run(task, *options).check()

    def pushed(self) -> Counts:
        with self.load.running() as counts:
            pass
        assert counts.pushed and counts.failed_operations == []
        return counts


@pytest.fixture(scope="module")
def site(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """One machine with PostgreSQL 17 and Quay, of images that are there already."""
    new = newer_postgresql.build(images["postgresql"])
    names = {
        OLD: images["postgresql"],
        f"{LABEL}/redis:1": images["redis"],
        f"{LABEL}/quay:v3.18.0": images["quay"],
    }
    machine = machine_factory("major")
    machine.load_images([*names.values(), new])
    for name, image in names.items():
        machine.run(f"docker tag {image} {name}")
    folder = tmp_path_factory.mktemp("major")
    archive = folder / "images.tar"
    tarfile.open(archive, "w").close()
    lab = Deployment.of(
        operator,
        folder,
        {part: [machine] for part in ("quay", "database", "redis")},
        # Packages choose the version of PostgreSQL by themselves.
        image_source="archive",
        image_archive=str(archive),
        postgresql_image=OLD,
        redis_image=f"{LABEL}/redis:1",
        quay_image=f"{LABEL}/quay",
        quay_version="v3.18.0",
        quay_workers=1,
        minimum_memory_mb=512,
    )
    lab.run().check()
    yield Site(lab, machine, new, Load(machine.address, HOSTNAME, lab.ca, ADMIN, lab.password))
    lab.forget()
    machine.destroy()


def test_another_major_version_and_the_way_back(site: Site) -> None:
    """What was pushed before is there in both, and what was pushed to the new one is lost on the
    way back."""
    before = site.pushed()
    site.take(OLD, site.new)
    refused = site.lab.run()
    assert "postgresql_image: volume quaylab-database on major is of postgresql-17" in (
        refused.output
    )
    assert "docs/upgrade.md#another-major-version" in refused.output

    site.machine.run(STOP)
    site.task(DUMP)
    site.machine.run(ASIDE)
    site.task(RESTORE)
    site.lab.run().check()
    assert site.version() == "18"
    assert site.lab.run().changed() == []
    assert site.load.lost(before) == []
    after = site.pushed()

    site.take(site.new, OLD)
    site.machine.run(STOP)
    site.machine.run(REMOVE)
    site.task(RESTORE)
    site.lab.run().check()
    assert site.version() == "17"
    assert site.load.lost(before) == []
    with pytest.raises(RequestFailed, match="HTTP 404"):
        site.load.lost(after)
    assert site.lab.run().changed() == []

"""The example lab on a real VM: created with kills in between, deployed to, rebooted and removed.

The VM is emulated, so it boots once and reboots once; each test continues from the one before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from quaylab.hosts import disks, storage
from quaylab.locks import HOST_LOCK, lock_problem
from tests.machine.deployment import ADMIN, HOSTNAME
from tests.machine.machines import Operator, ThisMachine, wait_until
from tests.machine.observed import containers
from tests.machine.registry_client import RegistryClient
from tests.vm.virtual_lab import (
    BOOT_TIMEOUT,
    DISKS,
    NAME,
    POOL,
    PROVISION,
    SEEDS,
    VirtualLab,
    changes,
    definitions,
    inventory_of_libvirt,
    virsh,
)

STORAGE = "tasks/docker_storage.py"
ENGINE = disks.ENGINE_ROOT
BLOBS = storage.QUAY_STORAGE
QUAY = ("quaylab-database", "quaylab-quay", "quaylab-redis")


def _started() -> bool:
    return HOSTNAME in virsh("list --name").split()


# Moments in the order of a run, each in the middle of creating something.
MOMENTS: dict[str, Callable[[VirtualLab], bool]] = {
    "the network is defined": lambda lab: NAME in virsh("net-list --all --name").split(),
    "the image is half copied": lambda lab: Path(f"{lab.base}.part").exists(),
    "the seed is begun": lambda lab: (SEEDS / HOSTNAME / "meta-data").exists(),
    "a disk is made": lambda lab: any(POOL.glob(f"{HOSTNAME}-*")),
    "the VM is defined": lambda lab: HOSTNAME in virsh("list --all --name").split(),
}


@pytest.fixture(scope="module")
def client(lab: VirtualLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryClient]:
    """The CI machine's engine, which resolves the registry by the name from provisioning."""
    client = RegistryClient(ThisMachine(tmp_path_factory.mktemp("client")), HOSTNAME)
    client.trust(lab.deployment.ca)
    yield client
    client.distrust()


def test_a_run_on_this_machine_is_refused_by_it_as_well(operator: Operator, tmp_path: Path) -> None:
    """It is here because the other tests of this file lock this machine."""
    inventory = operator.inventory(tmp_path, {}, {"lab_name": "test-local"})
    inventory.write_text('quay = database = redis = ["@local"]\n')
    script = f"set -- elsewhere 'somebody on this machine' :; {HOST_LOCK}"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout and lock_problem(first.stdout.readline()) == ""
        refused = operator.pyinfra(inventory, "tasks/verify.py")
        assert refused.returncode == 1
        message = (
            "@local: another run works on it: somebody on this machine; wait until it has ended"
        )
        assert message in refused.output
        # The holder ends when its input does.
        first.communicate(timeout=20)
    assert "another run" not in operator.pyinfra(inventory, "tasks/verify.py").output


def test_provisioning_killed_at_five_moments(lab: VirtualLab, before: dict[str, list[str]]) -> None:
    """The next run continues from there, and nothing incomplete is left."""
    lab.deployment.kill(*PROVISION, when=_started)
    undisturbed = definitions()
    lab.down()
    lab.base.unlink()  # teardown leaves it
    assert inventory_of_libvirt() == before

    for reached in MOMENTS.values():
        lab.deployment.kill(*PROVISION, when=partial(reached, lab))
    lab.deployment.kill(*PROVISION, when=_started)
    assert definitions() == undisturbed


def test_vm_is_created(lab: VirtualLab) -> None:
    lab.provision()
    assert lab.provision() == []
    assert lab.machine.run("hostname").stdout.strip() == HOSTNAME.partition(".")[0]
    assert virsh(f"vol-list {NAME}").count(".qcow2") == len(DISKS) * 2  # with their paths


def test_disks_that_are_not_empty_are_refused(lab: VirtualLab) -> None:
    lab.machine.run(
        "mkfs.ext4 -q /dev/vdd; echo ',,L' | sfdisk --quiet --label gpt /dev/vde;"
        "vgcreate --quiet precious /dev/vdf; mkfs.xfs -q /dev/vdg; mount /dev/vdg /mnt;"
        f"mkdir -p {ENGINE}/volumes/precious; udevadm settle"
    )
    signatures = _signatures(lab)
    lab.write(
        docker_storage={
            "devices": ["disk3", "disk4", "disk5", "disk6", "disk7"],
            "volume_group": "precious",
        },
        quay_storage={"devices": ["/dev/vdd"]},
    )
    refused = lab.deployment.run(STORAGE)
    assert refused.returncode != 0
    for problem in (
        "/dev/vdd is the disk that docker_storage.devices names as disk3",
        "holds a signature of ext4",
        "holds partitions (/dev/vde1)",
        "precious is on",
        "is mounted at /mnt",
        "disk7 is not a disk of",
        f"has data already ({ENGINE}/volumes/precious)",
    ):
        assert problem in refused.output
    assert "Traceback" not in refused.output
    assert _signatures(lab) == signatures
    lab.machine.run(f"rm -r {ENGINE}")
    lab.write()


def test_lab_comes_up(lab: VirtualLab) -> None:
    lab.up()
    # test_vm_is_created has the first half of a second `./lab up`.
    assert changes(lab.deployment.run()) == []
    assert all(containers(lab.machine)[name]["State"]["Running"] for name in QUAY)


def test_both_storages_are_lvm_and_xfs(lab: VirtualLab) -> None:
    for group, point in (("docker-vg", ENGINE), ("quay-vg", BLOBS)):
        mount = lab.machine.run(f"findmnt --noheadings --output FSTYPE,OPTIONS,SOURCE {point}")
        assert mount.stdout.startswith("xfs") and "prjquota" in mount.stdout
        volume = mount.stdout.split()[-1]
        owner = lab.machine.run(f"lvs --noheadings --options vg_name {volume}").stdout.strip()
        assert owner == group
        assert "ftype=1" in lab.machine.run(f"xfs_info {point}").stdout
    assert lab.machine.run("docker info --format '{{.Driver}}'").stdout == "overlay2\n"


def test_another_engine_pushes_and_pulls(
    lab: VirtualLab, client: RegistryClient, tmp_path: Path
) -> None:
    made = client.machine.run(
        "head -c 1000000 /dev/urandom >layer && tar c layer | docker import - quaylab-test/layer"
        f" && rm layer && cd {tmp_path}"
    )
    assert client.login(ADMIN, lab.deployment.password).returncode == 0
    client.push("quaylab-test/layer", f"{ADMIN}/layer:vm")
    client.machine.run("docker image rm quaylab-test/layer")
    assert client.pull(f"{ADMIN}/layer:vm") == made.stdout
    # The blob is on Quay's disk.
    assert int(lab.machine.run(f"du -s {BLOBS} | cut -f1").stdout) > 900


def test_hosts_pass_their_own_tests(lab: VirtualLab) -> None:
    lab.deployment.verify()


def test_storage_is_extended_by_further_disks(lab: VirtualLab) -> None:
    """One is new, and attached while the VM runs; the other has data, which may be destroyed."""
    size = _size(lab)
    lab.write(
        disks=(*DISKS, 1),
        docker_storage={
            "devices": ["disk1", "disk3", "disk7"],
            "volume_group": "docker-vg",
            "wipe": True,
        },
    )
    assert lab.provision() != []
    assert "disk7" in lab.machine.run("lsblk --noheadings --nodeps --output SERIAL").stdout.split()
    assert changes(lab.deployment.run(STORAGE)) != []
    assert _size(lab) > size + 1.9 * 1024**2
    assert changes(lab.deployment.run(STORAGE)) == []
    assert "ext4" not in lab.machine.run("wipefs --noheadings /dev/vdd").stdout


def test_reboot_brings_everything_back_without_a_run(
    lab: VirtualLab, client: RegistryClient
) -> None:
    lab.machine.reboot()
    wait_until(
        lambda: client.login(ADMIN, lab.deployment.password).returncode == 0,
        "the registry is back",
        timeout=BOOT_TIMEOUT,
    )
    assert client.pull(f"{ADMIN}/layer:vm")


def test_teardown_leaves_libvirt_as_it_was(lab: VirtualLab, before: dict[str, list[str]]) -> None:
    lab.down()
    left = inventory_of_libvirt()
    assert set(left["files"]) - set(before["files"]) == {str(lab.base)}, "the base image stays"
    assert {**left, "files": before["files"]} == before
    assert HOSTNAME not in Path("/etc/hosts").read_text()
    assert not lab.deployment.store.exists


def _signatures(lab: VirtualLab) -> str:
    """Return digests of the disks' beginnings, and LVM's state."""
    return lab.machine.run(
        "for disk in /dev/vd[b-g]; do head -c 1M $disk | sha256sum; done; pvs; vgs; lvs"
    ).stdout


def _size(lab: VirtualLab) -> int:
    """Return the size of the engine's file system, in KiB."""
    return int(lab.machine.run(f"df --output=size {ENGINE} | tail -n 1").stdout)

"""Existing networks, pools and VMs are changed in place, or the change is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from quaylab.virtual import changes, xml
from quaylab.virtual.found import Device, DiskFile, Hypervisor, Object
from quaylab.virtual.lab import GB, Lab
from tests.unit.virtual import BRIDGE, DISK, FILES, MACHINE, VM, bare, lab, there

OTHER_IMAGE = {"image_checksum": "sha256:" + "ab" * 32}


def _refused(made: Lab, report: Hypervisor) -> list[str]:
    return list(changes.refusals(made, report))


def _with_disk(device: Device | None, **report: Any) -> Hypervisor:
    found = {DISK: device} if device else {}
    return dataclasses.replace(bare(lab()), devices=found, **report)


@pytest.mark.parametrize("changed", [{}, FILES], ids=["lvm", "dir"])
def test_an_unchanged_lab_fits(changed: Mapping[str, Any]) -> None:
    made = lab(**changed)
    assert _refused(made, bare(made)) == []
    assert _refused(made, there(made)) == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"resources": {"ram": 16384}},
        {"resources": {"vcpus": 8}},
        {"resources": {"disks": [{"size": 20, "pool": "virt-pool"}] * 2}},
        {"resources": {"disks": [{"size": 10, "pool": "virt-pool"}] * 3}},
        {"virt_type": "qemu"},
        {**OTHER_IMAGE, "reimage": VM},
        {"convert_to_lv_on_vg": None, "reimage": VM},
    ],
    ids=["memory", "processors", "grown", "one more", "virt_type", "image", "root"],
)
def test_possible_changes(wanted: Mapping[str, Any]) -> None:
    assert _refused(lab(**wanted), there(lab())) == []


@pytest.mark.parametrize(
    ("wanted", "key", "message"),
    [
        ({"libvirt_bridges": [{**BRIDGE, "dhcp_end": "192.168.254.99"}]}, "libvirt_bridges", "253"),
        (
            {"libvirt_bridges": [{**BRIDGE, "dns_forwarder": ["192.0.2.53"]}]},
            "libvirt_bridges",
            "dns_forwarder of quaylab is not set, but should be 192.0.2.53",
        ),
        ({"resources": {"disks": [{"size": 9, "pool": "virt-pool"}] * 2}}, "resources", "shrink"),
        (
            {"resources": {"disks": [{"size": 10, "pool": "virt-pool"}]}},
            "resources",
            "another disk",
        ),
        (OTHER_IMAGE, "image_checksum", f"--data reimage={VM}"),
        ({"convert_to_lv_on_vg": None}, "convert_to_lv_on_vg", f"--data reimage={VM}"),
    ],
    ids=["network", "forwarder", "smaller", "one less", "image", "root"],
)
def test_impossible_changes(wanted: Mapping[str, Any], key: str, message: str) -> None:
    problems = _refused(lab(**wanted), there(lab()))
    assert problems
    assert all(problem.startswith(f"{key}: ") for problem in problems)
    assert message in problems[0]


def test_another_network_or_pool() -> None:
    second = {**BRIDGE, "name": "second"}
    pools = [{"virt-pool": {"type": "dir", "path": "/srv/vms"}, "b": {"type": "dir", "path": "/b"}}]
    before = lab(**{**FILES, "libvirt_pools": pools})
    moved = lab(
        **{**FILES, "libvirt_pools": pools},
        libvirt_bridges=[second],
        resources={"network": "second", "disks": [{"size": 10, "pool": "b"}] * 2},
    )
    problems = _refused(moved, there(before))
    assert "the bridge virbr-900 of second is that of quaylab" in problems[0]
    assert "is in the network quaylab, but should be second" in problems[1]
    assert "can't move to another pool" in problems[2]


def test_a_pool_at_another_path() -> None:
    pools = [{"virt-pool": {"type": "dir", "path": "/srv/other"}}]
    problems = _refused(lab(**{**FILES, "libvirt_pools": pools}), there(lab(**FILES)))
    assert "path of virt-pool is /srv/vms, but should be /srv/other" in problems[0]


@pytest.mark.parametrize("kind", ["networks", "pools", "domains"])
def test_objects_of_others_are_refused(kind: str) -> None:
    made, theirs = lab(), there(lab(lab_name="theirs"))
    report = dataclasses.replace(there(made), **{kind: getattr(theirs, kind)})
    (problem,) = _refused(made, report)
    assert "that this lab has not made" in problem
    assert changes.lab_objects(made, kind.rstrip("s"), getattr(theirs, kind)) == {}


def test_a_bridge_that_others_use() -> None:
    made, theirs = (
        lab(),
        lab(libvirt_bridges=[{**BRIDGE, "name": "theirs"}], resources={"network": "theirs"}),
    )
    network = Object(xml.network(theirs, theirs.networks["theirs"]), True, True)
    report = dataclasses.replace(bare(made), networks={"theirs": network})
    (problem,) = _refused(made, report)
    assert "the bridge virbr-900 of quaylab is that of theirs" in problem


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (_with_disk(None), "is not a disk of @local"),
        (_with_disk(Device("theirs", "LVM2_member")), "belongs to the volume group theirs"),
        (
            _with_disk(Device(None, None), volume_groups={"virt-pool": False}),
            "has a volume group virt-pool on other disks",
        ),
        (_with_disk(Device(None, "ext4")), "holds something (ext4)"),
        (_with_disk(Device(None, "gpt used")), "is in use"),
        (_with_disk(Device(None, "ext4")), "wipefs --all /dev/nvme0n1p2"),
    ],
    ids=["none", "theirs", "group exists", "file system", "in use", "remedy"],
)
def test_the_disk_of_a_pool(report: Hypervisor, message: str) -> None:
    (problem,) = _refused(lab(), report)
    assert problem.startswith("libvirt_pools: ")
    assert message in problem


def test_a_volume_group_of_its_name_on_its_disk_is_used() -> None:
    report = _with_disk(Device("virt-pool", "LVM2_member"), volume_groups={"virt-pool": False})
    assert _refused(lab(), report) == []


def test_a_physical_volume_of_no_group_is_empty() -> None:
    assert _refused(lab(), _with_disk(Device(None, "LVM2_member"))) == []


def test_a_hypervisor_without_kvm() -> None:
    report = dataclasses.replace(bare(lab()), kvm=False)
    (problem,) = _refused(lab(), report)
    assert problem.startswith("virt_type: kvm, and @local has no /dev/kvm")
    assert "virt_type=qemu" in problem
    assert _refused(lab(virt_type="qemu"), report) == []


def test_a_missing_image() -> None:
    made = lab(image_uri="file:///srv/rhel.qcow2")
    (problem,) = _refused(made, bare(made))
    assert problem.startswith("image_uri: file:///srv/rhel.qcow2")
    fetched = {made.machines[VM].image.path: DiskFile("qcow2", 3 * GB)}
    # Base images stay, so their source may be gone.
    assert _refused(made, dataclasses.replace(bare(made), files=fetched)) == []
    here = frozenset({"/srv/rhel.qcow2"})
    assert _refused(made, dataclasses.replace(bare(made), existing_paths=here)) == []


def _without(made: Lab, *lost: str) -> Hypervisor:
    """Return a hypervisor with the lab, whose VM is off and has lost disks, as after a reboot."""
    full = there(made)
    paths = frozenset(path for path in full.existing_paths if not path.endswith(lost))
    return dataclasses.replace(
        full,
        domains={VM: Object(full.domains[VM].xml, False, True)},
        files={path: each for path, each in full.files.items() if path in paths},
        existing_paths=paths,
    )


@pytest.mark.parametrize("changed", [{}, FILES], ids=["lvm", "dir"])
@pytest.mark.parametrize(
    ("disk", "target", "remedy"),
    [("root", "vda", f"--data reimage={VM}"), ("disk2", "vdc", f"--snapshots-metadata {VM}")],
)
def test_a_lost_disk_of_a_vm_is_not_made_again(
    changed: Mapping[str, Any], disk: str, target: str, remedy: str
) -> None:
    """What holds it may only not be mounted."""
    made = lab(**changed)
    (problem,) = _refused(made, _without(made, disk, f"{disk}.qcow2"))
    assert problem.startswith(f"{VM}: ") and problem.endswith(remedy)
    assert f"{VM}-{disk}" in problem and f"its disk {target}, is not on @local" in problem


def test_a_lost_root_disk_is_made_again_by_reimage() -> None:
    made = lab(**FILES, reimage=VM)
    assert _refused(made, _without(made, "root.qcow2")) == []
    assert len(_refused(made, _without(made, "root.qcow2", "disk1.qcow2"))) == 1


def test_a_disk_that_no_domain_has_yet_is_made() -> None:
    """A run may have been killed before it defined the VM, and a disk may be new."""
    made = lab(**FILES)
    lost = _without(made, "root.qcow2")
    assert _refused(made, dataclasses.replace(lost, domains={})) == []
    more = lab(**FILES, resources={"disks": [{"size": 10, "pool": "virt-pool"}] * 3})
    assert _refused(more, there(made)) == []


def test_volumes_of_an_inactive_pool_may_be_there() -> None:
    """Its start activates their group."""
    made = lab()
    pools = {"virt-pool": Object(there(made).pools["virt-pool"].xml, False, True)}
    lost = _without(made, "root", "disk1", "disk2")
    assert _refused(made, dataclasses.replace(lost, pools=pools)) == []


def test_paths_and_devices_to_report() -> None:
    made = lab()
    machine = made.machines[VM]
    assert changes.devices(made) == [DISK]
    assert set(changes.paths(made)) == {
        machine.image.path,
        machine.root,
        machine.seed,
        machine.directory,
        *(disk.path for disk in machine.disks),
    }
    assert "file://" not in str(MACHINE["image_uri"])


# --- the lab's folder ---

KEY = "ssh-ed25519 AAAA"


def _owner(report: Hypervisor, known_hosts: str | None) -> list[str]:
    return list(changes.owner_problems(lab(), report, known_hosts))


@pytest.mark.parametrize(
    ("known_hosts", "keys", "reason"),
    [
        (None, {VM: KEY}, "quaylab-known_hosts is not here"),
        (None, {}, "quaylab-known_hosts is not here"),
        (f"{VM} ssh-ed25519 BBBB\n", {VM: KEY}, "has none of its VMs' host keys"),
        (f"{VM},192.168.254.12 {KEY}\n", {VM: KEY}, None),
        ("", {VM: KEY}, None),
        ("", {}, None),
        (f"gone.quaylab.lan {KEY}\n", {}, None),
    ],
    ids=["new folder", "new folder, no key", "another's", "ours", "killed", "begun", "keys gone"],
)
def test_a_lab_belongs_to_the_folder_that_knows_its_host_keys(
    known_hosts: str | None, keys: Mapping[str, str], reason: str | None
) -> None:
    problems = _owner(dataclasses.replace(there(lab()), host_keys=keys), known_hosts)
    assert len(problems) == (reason is not None)
    assert all(reason in each for each in problems if reason)


def test_one_known_host_key_is_enough() -> None:
    """Another VM may just have been added."""
    report = there(lab())
    other = xml.domain(
        lab(name="a.quaylab.lan"), lab(name="a.quaylab.lan").machines["a.quaylab.lan"]
    )
    domains = {**report.domains, "a.quaylab.lan": Object(other, True, True)}
    keys = {VM: KEY, "a.quaylab.lan": "ssh-ed25519 BBBB"}
    report = dataclasses.replace(report, domains=domains, host_keys=keys)
    assert _owner(report, "a.quaylab.lan ssh-ed25519 BBBB\n") == []


def test_a_hypervisor_without_the_lab_has_no_owner() -> None:
    theirs = dataclasses.replace(there(lab(lab_name="theirs")), existing_paths=frozenset())
    for report in (bare(lab()), theirs):
        assert _owner(dataclasses.replace(report, host_keys={VM: KEY}), None) == []

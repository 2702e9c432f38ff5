"""A lab from its inventory: the example lab of docs/lab.md, and bad values with their keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from quaylab.paths import ETC, VAR
from quaylab.problems import Refusal
from quaylab.settings.loading import load
from quaylab.virtual.lab import IMAGES, belongs_to, build
from tests.unit.samples import HOST_DEFAULTS, host
from tests.unit.virtual import BASE, BRIDGE, CHECKSUM, FILES, MACHINE, POOLS, VM, lab

OTHER = {
    **BRIDGE,
    "name": "other",
    "bridge": "virbr-901",
    "domain": "other.lan",
    "network": "192.168.253.0",
    "broadcast": "192.168.253.255",
    "ip_address": "192.168.253.254",
    "dhcp_start": "192.168.253.1",
    "dhcp_end": "192.168.253.253",
}
WIDER = {
    **OTHER,
    "network": "192.168.0.0",
    "broadcast": "192.168.255.255",
    "ip_netmask": "255.255.0.0",
}
TWICE = [{"size": 10, "pool": "virt-pool"}, {"size": 10, "pool": "elsewhere"}]
DIR_AS_LVM = [{"virt-pool": {"type": "lvm", "path": "/srv/vms"}}]
LVM_AS_DIR = [{"virt-pool": {"type": "dir", "path": "/dev/sdb"}}]


def _problems(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        lab(**changes)
    return refused.value.problems


def _bridge(**changes: str) -> dict[str, Any]:
    return {"libvirt_bridges": [{**BRIDGE, **changes}]}


def _network(first_numbers: str) -> dict[str, Any]:
    """Return a network whose addresses begin so."""
    keys = ("network", "broadcast", "ip_address", "dhcp_start", "dhcp_end")
    return _bridge(**{key: f"{first_numbers}.{BRIDGE[key].rpartition('.')[2]}" for key in keys})


def test_each_vm_needs_an_address() -> None:
    run_wide = {**_bridge(dhcp_end="192.168.254.2"), "libvirt_pools": POOLS}
    names = [f"quay{number}.quaylab.lan" for number in (1, 2, 3)]
    metal = host("@local", groups=["hypervisor"], **run_wide)
    hosts = [metal, *(host(name, groups=["lab"], **run_wide, **MACHINE) for name in names)]
    settings, host_settings = load(hosts)
    assert len(build(settings, host_settings, hosts[:3]).machines) == 2
    with pytest.raises(Refusal) as refused:
        build(settings, host_settings, hosts)
    assert refused.value.problems == (
        "libvirt_bridges[0].dhcp_end: from 192.168.254.1 to 192.168.254.2 there are 2 addresses "
        "for 3 VMs in quaylab; widen the range",
    )


def test_the_example_lab() -> None:
    made = lab()
    machine = made.machines[VM]
    assert made.hypervisor == "@local"
    assert made.hostname == VM
    assert (machine.vcpus, machine.ram, machine.network) == (2, 8192, "quaylab")
    assert machine.root == f"/dev/virt-pool/{VM}-root"
    assert [disk.path for disk in machine.disks] == [
        f"/dev/virt-pool/{VM}-disk1",
        f"/dev/virt-pool/{VM}-disk2",
    ]
    assert machine.image.path == BASE


@pytest.mark.parametrize("changes", [{}, FILES], ids=["volumes", "files"])
def test_files_of_a_vm_are_its_own(changes: dict[str, Any]) -> None:
    machine = lab(**changes).machines[VM]
    for path in (machine.root, machine.seed, *(disk.path for disk in machine.disks)):
        assert belongs_to(VM, path)
        assert not belongs_to(f"other-{VM}", path)


@pytest.mark.parametrize(
    "name",
    [
        f"{VM}-data.qcow2",
        f"{VM}-disk1.qcow2.bak",
        f"{VM}-2-root",
        f"{VM}-disk",
        "quayXquaylab.lan-root",
    ],
)
def test_files_that_were_attached_by_hand_are_not_its_own(name: str) -> None:
    assert not belongs_to(VM, f"/srv/vms/{name}")


def test_a_purge_of_a_registry_leaves_the_seed_images() -> None:
    directory = PurePosixPath(lab().machines[VM].directory)
    assert not any(directory.is_relative_to(purged) for purged in (ETC, VAR))


def test_in_a_directory_disks_are_files() -> None:
    machine = lab(**FILES).machines[VM]
    assert machine.root == f"{IMAGES}/{VM}-root.qcow2"
    assert machine.disks[0].path == f"/srv/vms/{VM}-disk1.qcow2"


def test_an_image_with_a_list_of_checksums_is_named_after_its_address() -> None:
    listed = "sha256:https://example.com/SHA256SUMS"
    one = lab(image_checksum=listed).machines[VM].image
    other = lab(image_checksum=listed, image_uri="https://example.com/b.qcow2").machines[VM].image
    assert one.algorithm == "sha256"
    assert one.path.startswith(f"{IMAGES}/quaylab-base-")
    assert one.path != other.path


def test_the_password_is_not_in_repr() -> None:
    made = lab(cloud_user_passwd="hunter2")
    assert made.machines[VM].settings.cloud_user_passwd == "hunter2"
    assert "hunter2" not in repr(made)
    assert "hunter2" not in repr(made.machines[VM].settings)


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        (_bridge(network="192.168.254.1"), "libvirt_bridges[0].network", "is not a network"),
        (_bridge(ip_netmask="255.0.255.0"), "libvirt_bridges[0].network", "is not a network"),
        (_bridge(broadcast="192.168.254.254"), "libvirt_bridges[0].broadcast", "192.168.254.255"),
        (_bridge(dhcp_end="192.168.255.9"), "libvirt_bridges[0].dhcp_end", "192.168.254.1 to"),
        (_bridge(dhcp_start="10.0.0.1"), "libvirt_bridges[0].dhcp_start", "not a host's address"),
        (_bridge(ip_address="192.168.253.1"), "libvirt_bridges[0].ip_address", "not a host's"),
        (_bridge(ip_address="192.168.254.9"), "libvirt_bridges[0].ip_address", "lies in the range"),
        (
            _bridge(dhcp_start="192.168.254.20", dhcp_end="192.168.254.10"),
            "libvirt_bridges[0].dhcp_start",
            "comes after dhcp_end, 192.168.254.10",
        ),
        (
            _bridge(ip_netmask="0.0.0.255"),
            "libvirt_bridges[0].ip_netmask",
            "is the inverse of a netmask; write 255.255.255.0",
        ),
        (_network("127.1.1"), "libvirt_bridges[0].network", "127.1.1.0/24 has addresses that no"),
        (_network("224.0.1"), "libvirt_bridges[0].network", "take a private network, such as"),
        (_network("0.0.0"), "libvirt_bridges[0].network", "take a private network, such as"),
        ({"libvirt_bridges": [BRIDGE, WIDER]}, "libvirt_bridges[1] (other)", "overlaps"),
        (
            {"libvirt_bridges": [BRIDGE, {**OTHER, "bridge": "virbr-900"}]},
            "libvirt_bridges",
            "have the bridge virbr-900",
        ),
        (
            {"libvirt_bridges": [BRIDGE, {**OTHER, "name": "quaylab"}]},
            "libvirt_bridges",
            "have the name quaylab",
        ),
        (
            {"libvirt_bridges": [BRIDGE, {**OTHER, "domain": "quaylab.lan"}]},
            "libvirt_bridges",
            "have the domain quaylab.lan",
        ),
        (
            {"libvirt_pools": [*POOLS, {"virt-pool": {"type": "lvm", "path": "/dev/sdb"}}]},
            "libvirt_pools",
            "2 pools have the name virt-pool",
        ),
        (
            {"libvirt_pools": [*POOLS, {"second": POOLS[0]["virt-pool"]}]},
            "libvirt_pools",
            "2 pools have the path /dev/nvme0n1p2",
        ),
        (
            {"libvirt_pools": [*POOLS, {"others": {"type": "dir", "path": "/var/tmp/vms"}}]},
            "libvirt_pools",
            "/var/tmp/vms of others is emptied by the system; name another, such as /srv/vms",
        ),
        ({"libvirt_pools": DIR_AS_LVM}, "libvirt_pools", "is not a device"),
        (
            {"libvirt_pools": LVM_AS_DIR, "convert_to_lv_on_vg": None},
            "libvirt_pools",
            "is a device; name a directory",
        ),
        ({"name": "quay"}, "quay", "for example quay.quaylab.lan"),
        ({"name": "quay.example.com"}, "resources.network", "host.quaylab.lan"),
        ({"cloud_user_passwd": None}, "cloud_user_passwd", "nobody could log in"),
        (
            {"libvirt_pools": FILES["libvirt_pools"]},
            "convert_to_lv_on_vg",
            "not a pool of type lvm in libvirt_pools, which has: none",
        ),
        ({"convert_to_lv_on_vg": "docker-vg"}, "convert_to_lv_on_vg", "which has: virt-pool"),
        ({"image_checksum": None}, "image_checksum", "from where the image is published"),
        (
            {"image_checksum": HOST_DEFAULTS["image_checksum"]},
            "image_checksum",
            "not set for the image of quay.quaylab.lan, http://porkchop",
        ),
        ({"resources": None}, "resources", "for example {'vcpus': 2"),
        ({"resources": {"network": "lab"}}, "resources.network", "which has: quaylab"),
        ({"resources": {"disks": TWICE}}, "resources.disks[1].pool", "which has: virt-pool"),
        (
            {"resources": {"disks": [{"size": 1, "pool": "virt-pool"}] * 25}},
            "resources.disks",
            "at most 24",
        ),
        ({"reimage": "db.quaylab.lan"}, "reimage", f"which has: {VM}"),
        ({"purge": "quay.example.com"}, "purge", f"is not this registry's name, {VM}"),
    ],
)
def test_bad_combinations(changes: Mapping[str, Any], key: str, message: str) -> None:
    problems = _problems(**changes)
    assert problems[0].startswith(f"{key}: ")
    assert message in problems[0]
    # Nothing else is reported, not even that a wrong network or pool is missing elsewhere.
    assert len(problems) == 1, problems


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        (_bridge(forward="bridge"), "libvirt_bridges[0].forward", "'nat', 'route' or 'open'"),
        (_bridge(bridge="virbr-much-too-long"), "libvirt_bridges[0].bridge", "at most 15"),
        (_bridge(domain="lan"), "libvirt_bridges[0].domain", "does not have the right form"),
        (_bridge(dhcp_start="192.168.254"), "libvirt_bridges[0].dhcp_start", "192.168.254"),
        (_bridge(stp="on"), "libvirt_bridges[0].stp", "no such key"),
        (
            {"libvirt_pools": [{"virt-pool": {"type": "nfs", "path": "/srv"}}]},
            "libvirt_pools[0].virt-pool.type",
            "'lvm' or 'dir'",
        ),
        (
            {"libvirt_pools": [{"virt-pool": {"type": "dir", "path": "~/VMs"}}]},
            "libvirt_pools[0].virt-pool.path",
            "for example /srv/",
        ),
        ({"resources": {"disks": [{"size": 0, "pool": "virt-pool"}]}}, "", "disks[0].size"),
        ({"resources": {"ram": 64}}, "", "resources.ram"),
        ({"resources": {"vcpus": 0}}, "", "resources.vcpus"),
    ],
)
def test_values_inside_a_setting(changes: Mapping[str, Any], key: str, message: str) -> None:
    (problem,) = _problems(**changes)
    assert key in problem
    assert message in problem


def test_two_hypervisors() -> None:
    hosts = [host(name, groups=["hypervisor"]) for name in ("one", "two")]
    settings, host_settings = load(hosts)
    with pytest.raises(Refusal, match="2 hosts in group `hypervisor`"):
        build(settings, host_settings, hosts)


def test_all_problems_are_reported_at_once() -> None:
    problems = _problems(
        **_bridge(dhcp_end="10.0.0.1"),
        cloud_user_passwd=None,
        image_checksum=None,
        resources={"network": "lab"},
    )
    assert len(problems) == 4


def test_settings_of_vms_may_differ() -> None:
    both = [
        host("@local", groups=["hypervisor"], libvirt_bridges=[BRIDGE], libvirt_pools=POOLS),
        *(
            host(name, groups=["lab"], libvirt_bridges=[BRIDGE], libvirt_pools=POOLS, **data)
            for name, data in (
                ("a.quaylab.lan", MACHINE),
                ("b.quaylab.lan", {**MACHINE, "cloud_user_passwd": "other", "update": True}),
            )
        ),
    ]
    settings, host_settings = load(both)
    made = build(settings, host_settings, both)
    assert [each.settings.update for each in made.machines.values()] == [False, True]
    assert {each.image.path for each in made.machines.values()} == {BASE}
    assert CHECKSUM.endswith("e3")

"""The example lab of docs/lab.md, and hypervisors with and without it."""

from __future__ import annotations

import copy
from typing import Any

from quaylab.settings.loading import load
from quaylab.virtual import xml
from quaylab.virtual.found import Device, DiskFile, Hypervisor, Object
from quaylab.virtual.lab import GB, Lab, build
from tests.unit.samples import host

VM = "quay.quaylab.lan"
DISK = "/dev/nvme0n1p2"
CHECKSUM = "sha256:" + "e3" * 32
BASE = "/var/lib/libvirt/images/quaylab-base-e3e3e3e3e3e3e3e3.qcow2"
# As in the user's original page of manual steps.
BRIDGE = {
    "name": "quaylab",
    "forward": "nat",
    "bridge": "virbr-900",
    "domain": "quaylab.lan",
    "network": "192.168.254.0",
    "broadcast": "192.168.254.255",
    "ip_address": "192.168.254.254",
    "ip_netmask": "255.255.255.0",
    "dhcp_start": "192.168.254.1",
    "dhcp_end": "192.168.254.253",
}
POOLS = [{"virt-pool": {"type": "lvm", "path": DISK}}]
DIRECTORY = [{"virt-pool": {"type": "dir", "path": "/srv/vms"}}]
RESOURCES = {
    "vcpus": 2,
    "ram": 8192,
    "disks": [{"size": 10, "pool": "virt-pool"}, {"size": 10, "pool": "virt-pool"}],
    "network": "quaylab",
}
MACHINE = {
    "cloud_user_passwd": "redhat",
    "resources": RESOURCES,
    "image_uri": "http://porkchop.redhat.com/released/rhel-guest-image-7.5-146.x86_64.qcow2",
    "image_checksum": CHECKSUM,
    "convert_to_lv_on_vg": "virt-pool",
}
# Root disk and pool as files.
FILES: dict[str, Any] = {"libvirt_pools": DIRECTORY, "convert_to_lv_on_vg": None}


def lab(name: str = VM, **changes: Any) -> Lab:
    """Return the example lab with some data changed; ``resources`` are merged."""
    data = copy.deepcopy({"libvirt_bridges": [BRIDGE], "libvirt_pools": POOLS, **MACHINE})
    data |= changes
    if resources := changes.get("resources"):
        data["resources"] = {**RESOURCES, **resources}
    run_wide = {key: data[key] for key in data if key not in MACHINE}
    hosts = [
        host("@local", groups=["hypervisor"], **run_wide),
        host(name, groups=["lab", "quay", "database", "redis"], **data),
    ]
    settings, host_settings = load(hosts)
    return build(settings, host_settings, hosts)


def there(made: Lab, **changes: Any) -> Hypervisor:
    """Return the report of a hypervisor that has a lab with a running VM, with some changes."""
    (machine,) = made.machines.values()
    disks = {disk.path: DiskFile(disk.format, disk.size) for disk in machine.disks}
    report: dict[str, Any] = {
        "answers": True,
        "enabled": True,
        "kvm": True,
        "networks": {
            name: Object(xml.network(made, each), True, True)
            for name, each in made.networks.items()
        },
        "pools": {
            name: Object(xml.pool(made, name, each), True, True)
            for name, each in made.pools.items()
        },
        "domains": {machine.name: Object(xml.domain(made, machine), True, True)},
        "files": {
            machine.image.path: DiskFile("qcow2", 3 * GB),
            machine.root: DiskFile("qcow2", 10 * GB),
            **disks,
        },
        "devices": {
            each.path: Device(name, "LVM2_member")
            for name, each in made.pools.items()
            if each.type == "lvm"
        },
        "volume_groups": {name: True for name, each in made.pools.items() if each.type == "lvm"},
        "existing_paths": frozenset(
            [machine.root, machine.seed, machine.directory, *(d.path for d in machine.disks)]
        ),
    }
    return Hypervisor(**(report | changes))


def bare(made: Lab) -> Hypervisor:
    """Return the report of a hypervisor with libvirt only; a pool's disk is empty."""
    devices = {each.path: Device(None, None) for each in made.pools.values() if each.type == "lvm"}
    return Hypervisor(answers=True, enabled=True, kvm=True, devices=devices)

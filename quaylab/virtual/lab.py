"""The networks, pools and VMs that an inventory defines for its hypervisor."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from quaylab import topology
from quaylab.problems import Problems, refuse
from quaylab.secrets.credentials import DIRECTORY
from quaylab.settings.hypervisor import Network, Pool
from quaylab.settings.loading import HostInput, HostSettings, Settings
from quaylab.settings.virtual_machine import Resources
from quaylab.virtual import problems

GB = 1024**3
# The root disk's size in bytes; cloud images have 2 or 3 GB and grow to the size of their disk.
ROOT_SIZE = 10 * GB
IMAGES = "/var/lib/libvirt/images"
# Not in the registry's own directory, which a purge removes.
SEEDS = "/var/lib/quaylab-virtual"
# A VM's SSH host key, in its directory there; the public half ends in .pub.
HOST_KEY = "ssh_host_ed25519_key"
USER = "cloud-user"
SEED_TARGET = "vdz"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "quaylab.lan")


@dataclass(frozen=True)
class Disk:
    """A disk besides the root disk; the guest finds it by its serial. ``size`` is in bytes."""

    number: int
    size: int
    pool: str
    volume: str
    path: str
    format: str

    @property
    def serial(self) -> str:
        return f"disk{self.number}"

    @property
    def target(self) -> str:
        return f"vd{chr(ord('a') + self.number)}"


@dataclass(frozen=True)
class Image:
    """A cloud image; its file is named by its digest, or by its URL if a list has the digest."""

    uri: str
    checksum: str

    @property
    def algorithm(self) -> str:
        return self.checksum.partition(":")[0]

    @property
    def path(self) -> str:
        digest = self.checksum.partition(":")[2]
        if "/" in digest:
            digest = uuid.uuid5(NAMESPACE, f"{self.uri} {self.checksum}").hex
        return f"{IMAGES}/quaylab-base-{digest[:16]}.qcow2"


@dataclass(frozen=True)
class Machine:
    """A VM. ``volume_group`` has its root disk (None: a qcow2 file); ``ram`` is in MB."""

    name: str
    uuid: str
    vcpus: int
    ram: int
    network: str
    image: Image
    volume_group: str | None
    disks: tuple[Disk, ...]
    settings: HostSettings = field(repr=False)

    @property
    def root(self) -> str:
        if self.volume_group:
            return f"/dev/{self.volume_group}/{self.name}-root"
        return f"{IMAGES}/{self.name}-root.qcow2"

    @property
    def seed(self) -> str:
        return f"{IMAGES}/{self.name}-seed.iso"

    @property
    def directory(self) -> str:
        """The hypervisor's directory of the seed image's files, for root only."""
        return f"{SEEDS}/{self.name}"

    @property
    def console(self) -> str:
        return f"/var/log/libvirt/qemu/{self.name}-console.log"


@dataclass(frozen=True)
class Lab:
    """Everything that one hypervisor should have."""

    settings: Settings
    hypervisor: str
    hostname: str
    networks: Mapping[str, Network]
    pools: Mapping[str, Pool]
    machines: Mapping[str, Machine]

    def uuid(self, kind: str, name: str) -> str:
        """Return the UUID of a network, pool or domain of this lab."""
        return object_uuid(self.settings.lab_name, kind, name)

    @property
    def known_hosts(self) -> str:
        """The file of the VMs' host keys, on the machine that runs pyinfra."""
        return str(DIRECTORY / f"{self.settings.lab_name}-known_hosts")

    @property
    def uses_lvm(self) -> bool:
        return any(pool.type == "lvm" for pool in self.pools.values())


def belongs_to(name: str, path: str) -> bool:
    """Whether a path has the name of a machine's root disk, other disk or seed image."""
    suffix = r"-(root(\.qcow2)?|disk\d+(\.qcow2)?|seed\.iso)"
    return bool(re.fullmatch(re.escape(name) + suffix, path.rpartition("/")[2]))


def object_uuid(lab_name: str, kind: str, name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, f"{lab_name}/{kind}/{name}"))


def build(
    settings: Settings, host_settings: Mapping[str, HostSettings], hosts: list[HostInput]
) -> Lab:
    """Return the lab of an inventory.

    Raises:
        Refusal: all problems, each by its setting.
    """
    found = Problems()
    hypervisors = [host.name for host in hosts if "hypervisor" in host.groups]
    members = [host.name for host in hosts if "lab" in host.groups]
    if len(hypervisors) != 1:
        found.append(
            f"hypervisor: {len(hypervisors)} hosts in group `hypervisor`; name the one that runs "
            "the VMs"
        )
    number_of_machines = Counter(
        resources.network for name in members if (resources := host_settings[name].resources)
    )
    found += problems.of_networks(settings.libvirt_bridges, number_of_machines)
    found += problems.of_pools(settings.libvirt_pools)
    # If two networks have the same name, the first one: the problem is already reported.
    networks = {network.name: network for network in reversed(settings.libvirt_bridges)}
    pools = {name: pool for entry in settings.libvirt_pools for name, pool in entry.items()}
    for name in members:
        found += problems.of_machine(name, host_settings[name], networks, pools)
    if settings.reimage and settings.reimage not in members:
        known = ", ".join(members) or "none"
        found.append(
            f"reimage: {settings.reimage} is not a VM of this inventory, which has: {known}"
        )
    hostname = topology.registry_name(settings, topology.groups(hosts))
    found += topology.purge_problems(settings.purge, hostname)
    refuse(found)
    machines = {
        name: _machine(name, host_settings[name], settings.lab_name, pools)
        for name in sorted(members)
    }
    return Lab(settings, hypervisors[0], hostname, networks, pools, machines)


def _machine(
    name: str, settings: HostSettings, lab_name: str, pools: Mapping[str, Pool]
) -> Machine:
    resources, checksum = settings.resources, settings.image_checksum
    assert resources and checksum  # else there was a problem
    return Machine(
        name=name,
        uuid=object_uuid(lab_name, "domain", name),
        vcpus=resources.vcpus,
        ram=resources.ram,
        network=resources.network,
        image=Image(settings.image_uri, checksum),
        volume_group=settings.convert_to_lv_on_vg,
        disks=tuple(_disks(name, resources, pools)),
        settings=settings,
    )


def _disks(name: str, resources: Resources, pools: Mapping[str, Pool]) -> Iterator[Disk]:
    for number, disk in enumerate(resources.disks, 1):
        pool = pools[disk.pool]
        volume = f"{name}-disk{number}"
        if pool.type == "lvm":
            path, form = f"/dev/{disk.pool}/{volume}", "raw"
        else:
            volume += ".qcow2"
            path, form = f"{pool.path}/{volume}", "qcow2"
        yield Disk(number, disk.size * GB, disk.pool, volume, path, form)

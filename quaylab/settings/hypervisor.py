"""Settings of the hypervisor: networks, storage, how VMs run."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from quaylab.settings.types import HostName, HostPath, Section, form


def _ipv4(text: str) -> str:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError("is not an IPv4 address, which is for example 192.168.254.1") from None
    return text


IPv4 = Annotated[str, AfterValidator(_ipv4)]
# A name that libvirt, LVM and the kernel accept.
Name = Annotated[str, form(r"^[A-Za-z0-9][A-Za-z0-9_-]*$", "quaylab"), Field(max_length=50)]
# The kernel's limit for an interface's name.
Bridge = Annotated[str, form(r"^[A-Za-z][A-Za-z0-9_.-]*$", "virbr-900"), Field(max_length=15)]


class Network(Section):
    """One of ``libvirt_bridges``."""

    name: Name
    forward: Literal["nat", "route", "open"]
    bridge: Bridge
    domain: HostName
    network: IPv4
    broadcast: IPv4
    ip_address: IPv4
    ip_netmask: IPv4
    dhcp_start: IPv4
    dhcp_end: IPv4
    dns_forwarder: list[IPv4] | None = None


class Pool(Section):
    """One of ``libvirt_pools``: a volume group on a disk, or a directory."""

    type: Literal["lvm", "dir"]
    path: HostPath


class Hypervisor(Section):
    """The hypervisor and its VMs, for tasks/hypervisor.py."""

    libvirt_bridges: list[Network] = Field(
        description="Networks of the hypervisor, each with name, forward, bridge, domain, network, "
        "broadcast, ip_address, ip_netmask, dhcp_start, dhcp_end; optional: dns_forwarder, a list",
    )
    libvirt_pools: list[dict[Name, Pool]] = Field(
        description="Its storage pools by name, each with type (lvm or dir) and path; for lvm "
        "the path is the disk's, and the volume group has the pool's name",
    )
    virt_type: Literal["kvm", "qemu"] = Field(
        description="kvm, or qemu if the processor has no virtualisation, which is slow"
    )
    virtual_machine_timeout: int = Field(
        ge=30, le=7200, description="Seconds that a VM has for its first boot"
    )
    reimage: HostName | None = Field(
        description="With tasks/hypervisor.py: the VM to create again from its image; its root "
        "disk is lost, its other disks stay",
    )

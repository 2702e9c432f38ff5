"""Problems with an inventory's networks, pools and VMs, found before anything is changed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from quaylab.checks import directories
from quaylab.settings.hypervisor import Network, Pool
from quaylab.settings.loading import HostSettings
from quaylab.settings.reference import defaults
from quaylab.settings.types import FULL_NAME
from quaylab.settings.virtual_machine import Resources

# vdb to vdy: vda is the root disk, vdz the seed image.
MOST_DISKS = 24
# Of no host: this network, loopback, multicast and reserved ones.
UNFIT = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))


def of_networks(networks: Sequence[Network], machines: Mapping[str, int]) -> Iterator[str]:
    """Yield addresses that don't fit together, and values that two networks share.

    Args:
        machines: the number of VMs in each network.
    """
    ranges: dict[str, IPv4Network] = {}
    for index, network in enumerate(networks):
        key = f"libvirt_bridges[{index}]"
        try:
            inside = IPv4Network(f"{network.network}/{network.ip_netmask}")
        except ValueError:
            yield (
                f"{key}.network: {network.network} with the netmask {network.ip_netmask} is not "
                "a network; for example 192.168.254.0 with 255.255.255.0"
            )
            continue
        if network.ip_netmask != str(inside.netmask):
            yield (
                f"{key}.ip_netmask: {network.ip_netmask} is the inverse of a netmask; write "
                f"{inside.netmask}"
            )
        if any(map(inside.overlaps, UNFIT)):
            yield (
                f"{key}.network: {inside} has addresses that no host can have; take a private "
                "network, such as 192.168.254.0 with 255.255.255.0"
            )
        ranges[f"{key} ({network.name})"] = inside
        yield from _inside(key, network, inside, machines.get(network.name, 0))
    for (one, first), (other, second) in itertools.combinations(ranges.items(), 2):
        if first.overlaps(second):
            yield f"{other}: {second} overlaps {first} of {one}; take another"
    for what in ("name", "bridge", "domain"):
        for value, count in Counter(getattr(network, what) for network in networks).items():
            if count > 1:
                yield (
                    f"libvirt_bridges: {count} networks have the {what} {value}; give each its own"
                )


def _inside(key: str, network: Network, inside: IPv4Network, machines: int) -> Iterator[str]:
    if IPv4Address(network.broadcast) != inside.broadcast_address:
        yield (
            f"{key}.broadcast: {network.broadcast} is not that of {inside}, which is "
            f"{inside.broadcast_address}"
        )
    usable = f"{inside[1]} to {inside[-2]}" if inside.num_addresses > 3 else "none"
    addresses = {what: IPv4Address(getattr(network, what)) for what in ADDRESSES}
    wrong = False
    for what, address in addresses.items():
        if address not in inside or address in (
            inside.network_address,
            inside.broadcast_address,
        ):
            wrong = True
            yield f"{key}.{what}: {address} is not a host's address in {inside} (usable: {usable})"
    if wrong:
        return
    gateway, start, end = (addresses[what] for what in ADDRESSES)
    if start > end:
        yield f"{key}.dhcp_start: {start} comes after dhcp_end, {end}"
    elif start <= gateway <= end:
        yield (
            f"{key}.ip_address: {gateway} is the hypervisor's, and lies in the range "
            "that DHCP gives away; move one of them"
        )
    elif (number := int(end) - int(start) + 1) < machines:
        yield (
            f"{key}.dhcp_end: from {start} to {end} there are {number} addresses for {machines} "
            f"VMs in {network.name}; widen the range"
        )


ADDRESSES = ("ip_address", "dhcp_start", "dhcp_end")


def of_pools(pools: Sequence[Mapping[str, Pool]]) -> Iterator[str]:
    """Yield names and paths that are used twice, and paths that don't fit the type."""
    flat = [(name, pool) for entry in pools for name, pool in entry.items()]
    for name, count in Counter(name for name, _ in flat).items():
        if count > 1:
            yield f"libvirt_pools: {count} pools have the name {name}; give each its own"
    for path, count in Counter(pool.path for _, pool in flat).items():
        if count > 1:
            yield f"libvirt_pools: {count} pools have the path {path}; give each its own"
    for name, pool in flat:
        device = pool.path.startswith("/dev/")
        if pool.type == "lvm" and not device:
            yield (
                f"libvirt_pools: {name} is of type lvm, and {pool.path} is not a device; name the "
                "disk or partition, or take the type dir"
            )
        if pool.type == "dir" and not device and (reason := directories.why_unfit(pool.path)):
            yield f"libvirt_pools: {pool.path} of {name} {reason}; name another, such as /srv/vms"
        if pool.type == "dir" and device:
            yield (
                f"libvirt_pools: {name} is of type dir, and {pool.path} is a device; name a "
                "directory, or take the type lvm"
            )


def of_machine(
    name: str, settings: HostSettings, networks: Mapping[str, Network], pools: Mapping[str, Pool]
) -> Iterator[str]:
    """Yield names in a VM's settings that don't exist, and missing settings."""
    if not FULL_NAME.fullmatch(name):
        yield f"{name}: is not a full name for a VM, which is for example quay.quaylab.lan"
    if settings.cloud_user_passwd is None and settings.ssh_pub_key is None:
        yield (
            f"cloud_user_passwd: neither it nor ssh_pub_key is set for {name}, so nobody could log "
            "in; set one of them"
        )
    if settings.convert_to_lv_on_vg is not None:
        pool = pools.get(settings.convert_to_lv_on_vg)
        if pool is None or pool.type != "lvm":
            fit = ", ".join(each for each, pool in pools.items() if pool.type == "lvm") or "none"
            yield (
                f"convert_to_lv_on_vg: {settings.convert_to_lv_on_vg} of {name} is not a pool of "
                f"type lvm in libvirt_pools, which has: {fit}"
            )
    default = defaults()
    if settings.image_checksum is None or (
        settings.image_uri != default["image_uri"]
        and settings.image_checksum == default["image_checksum"]
    ):
        yield (
            f"image_checksum: not set for the image of {name}, {settings.image_uri}; take its "
            "sha256: or sha512: from where the image is published"
        )
    if settings.resources is None:
        yield (
            f"resources: not set for {name}; for example {{'vcpus': 2, 'ram': 8192, 'disks': "
            "[{'size': 10, 'pool': 'virt-pool'}], 'network': 'quaylab'}"
        )
    else:
        yield from _of_resources(name, settings.resources, networks, pools)


def _of_resources(
    name: str,
    resources: Resources,
    networks: Mapping[str, Network],
    pools: Mapping[str, Pool],
) -> Iterator[str]:
    network = networks.get(resources.network)
    if network is None:
        known = ", ".join(networks) or "none"
        yield (
            f"resources.network: {resources.network} of {name} is not in libvirt_bridges, which "
            f"has: {known}"
        )
    elif FULL_NAME.fullmatch(name) and not name.endswith(f".{network.domain}"):
        yield (
            f"resources.network: {name} is not in the domain of the network {network.name}, "
            f"{network.domain}; name it like host.{network.domain}"
        )
    if len(resources.disks) > MOST_DISKS:
        yield f"resources.disks: {name} has {len(resources.disks)}, at most {MOST_DISKS} can be"
    for index, disk in enumerate(resources.disks):
        if disk.pool not in pools:
            known = ", ".join(pools) or "none"
            yield (
                f"resources.disks[{index}].pool: {disk.pool} of {name} is not in libvirt_pools, "
                f"which has: {known}"
            )

"""The VMs' addresses, from libvirt, while an inventory is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

REMEDY = "libvirt-python is not installed, and the VMs' addresses come from it; run: pip install "
REMEDY += "libvirt-python (it is compiled, with gcc, pkg-config and libvirt's headers)"


def of_machines(uri: str, names: Iterable[str]) -> dict[str, str]:
    """Return the IPv4 addresses of VMs by name, from the network's leases or the guest's agent.

    A VM without an address is left out, and all of them if the hypervisor has no libvirt yet.

    Args:
        uri: how to reach libvirt, such as qemu:///system or qemu+ssh://root@host/system.
    """
    try:
        # Imported here: it is compiled, and only an inventory with a hypervisor needs it.
        import libvirt
    except ImportError:
        raise SystemExit(REMEDY) from None
    # Without it libvirt prints its errors itself.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError:
        return {}
    try:
        found = {name: _address(libvirt, connection, name) for name in names}
    finally:
        connection.close()
    return {name: address for name, address in found.items() if address}


def _address(libvirt: Any, connection: Any, name: str) -> str | None:
    try:
        domain = connection.lookupByName(name)
    except libvirt.libvirtError:
        return None
    sources = (
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
    )
    for source in sources:
        try:
            interfaces = domain.interfaceAddresses(source)
        except libvirt.libvirtError:
            continue  # not running, or no agent in it
        for interface in interfaces.values():
            for each in interface["addrs"] or ():
                address: str = each["addr"]
                if each["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV4 and address[:4] != "127.":
                    return address
    return None

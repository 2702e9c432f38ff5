"""VMs' addresses while an inventory is loaded, possibly before there is a VM or a hypervisor."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import libvirt
import pytest

from quaylab.settings.loading import load
from quaylab.virtual import addresses
from quaylab.virtual.lab import build
from tests.unit.samples import ROOT, host

INVENTORY = ROOT / "inventories" / "lab"
VM = "quay.quaylab.lan"


class Domain:
    """A domain as in libvirt-python: addresses by source, an error where there is none."""

    def __init__(self, by_source: dict[int, Any]) -> None:
        self.by_source = by_source

    def interfaceAddresses(self, source: int) -> Any:  # noqa: N802  # libvirt's own name
        if source not in self.by_source:
            raise libvirt.libvirtError("no agent")
        return self.by_source[source]


def _interface(*addresses: str, kind: int = libvirt.VIR_IP_ADDR_TYPE_IPV4) -> dict[str, Any]:
    return {"addrs": [{"addr": each, "type": kind} for each in addresses]}


@pytest.mark.parametrize(
    ("by_source", "address"),
    [
        ({0: {"vnet0": _interface("192.168.254.12")}}, "192.168.254.12"),
        ({0: {}, 1: {"lo": _interface("127.0.0.1"), "eth0": _interface("10.0.0.2")}}, "10.0.0.2"),
        ({0: {"vnet0": {"addrs": None}}}, None),
        ({0: {"vnet0": _interface("fd00::1", kind=libvirt.VIR_IP_ADDR_TYPE_IPV6)}}, None),
        ({}, None),
    ],
    ids=["lease", "agent", "none yet", "IPv6 only", "not running"],
)
def test_address(
    monkeypatch: pytest.MonkeyPatch, by_source: dict[int, Any], address: str | None
) -> None:
    class Connection:
        def lookupByName(self, name: str) -> Domain:  # noqa: N802  # libvirt's own name
            return Domain(by_source)

        def close(self) -> None: ...

    monkeypatch.setattr(libvirt, "openReadOnly", lambda uri: Connection())
    found = addresses.of_machines("qemu:///system", [VM])
    assert found == ({VM: address} if address else {})


def test_address_from_libvirts_test_driver() -> None:
    """The driver has a VM `test`, with a lease."""
    assert addresses.of_machines("test:///default", ["test", VM]) == {"test": "192.168.122.3"}


@pytest.mark.parametrize("uri", ["qemu+unix:///system?socket=/nowhere", "nonsense:///"])
def test_without_a_hypervisor_there_is_no_address(
    uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert addresses.of_machines(uri, [VM]) == {}
    assert capfd.readouterr() == ("", "")


def test_without_libvirt_python_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(SystemExit, match="pip install libvirt-python"):
        addresses.of_machines("qemu:///system", [VM])


@pytest.mark.parametrize("address", [None, "192.168.254.12"])
def test_the_labs_inventory(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    found = {VM: address} if address else {}
    monkeypatch.setattr(addresses, "of_machines", lambda uri, names: found)
    groups = runpy.run_path(str(INVENTORY / "inventory.py"))
    group_data = runpy.run_path(str(INVENTORY / "group_data" / "all.py"))
    group_data = {key: value for key, value in group_data.items() if not key.startswith("__")}
    ((name, data),) = groups["lab"]
    assert data.get("ssh_hostname") == address
    assert data["ssh_known_hosts_file"] == f"credentials/{group_data['lab_name']}-known_hosts"
    hosts = [
        host("@local", groups=["hypervisor"], **group_data),
        host(name, groups=["lab", "quay", "database", "redis"], **{**group_data, **data}),
    ]
    settings, host_settings = load(hosts)
    made = build(settings, host_settings, hosts)
    assert str(Path(made.known_hosts)) == data["ssh_known_hosts_file"]
    assert made.machines[VM].root == f"/dev/virt-pool/{VM}-root"

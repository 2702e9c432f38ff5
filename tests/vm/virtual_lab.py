"""The seed's lab, scaled down: its inventory, runs of pyinfra against it, and what libvirt has."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaylab.credentials import Store
from quaylab.virtual.addresses import of_machines
from tests.machine.deployment import HOSTNAME, Deployment
from tests.machine.machines import PROJECT, Operator, run, wait_until

LIBVIRT = "qemu:///system"
NAME = "quaylab-test"
DOMAIN = "quaylab.test"
IMAGES = Path("/var/lib/libvirt/images")
POOL = Path("/var/lib/quaylab-test")
# The seed's, in the range that is set aside for tests of network devices (RFC 2544).
NETWORK = {
    "name": NAME,
    "forward": "nat",
    "bridge": "virbr-test",
    "domain": DOMAIN,
    "network": "198.19.254.0",
    "broadcast": "198.19.254.255",
    "ip_address": "198.19.254.254",
    "ip_netmask": "255.255.255.0",
    "dhcp_start": "198.19.254.1",
    "dhcp_end": "198.19.254.99",
}
CLIENT_ADDRESS = "198.19.254.200/24"
# For the engine, for Quay, and two more for what else disks may hold.
DISKS = [6, 2, 1, 1]
BOOT_TIMEOUT = 600

INVENTORY = """\
from quaylab.virtual.addresses import of_machines

VM = {name!r}
address = of_machines({libvirt!r}, [VM]).get(VM)

hypervisor = ["@local"]
lab = [(VM, {{**({{"ssh_hostname": address}} if address else {{}}), **{data!r}}})]
quay = [VM]
database = [VM]
redis = [VM]
"""


@dataclass(frozen=True)
class VirtualMachine:
    """The VM, reached as the deploy reaches it: by SSH, and by the host key that it was given."""

    name: str
    key: Path
    known_hosts: Path

    @property
    def address(self) -> str:
        return of_machines(LIBVIRT, [self.name])[self.name]

    def run(
        self, command: str, check: bool = True, input: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root."""
        return run(
            *("ssh", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
            *("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", f"HostKeyAlias={self.name}"),
            *("-o", "StrictHostKeyChecking=yes", f"cloud-user@{self.address}"),
            *("sudo", "sh", "-s"),
            input=f"{command}\n" if input is None else f"{command} <<'EOF'\n{input}\nEOF\n",
            check=check,
            timeout=timeout,
        )

    def reboot(self) -> None:
        """Restart it in order, and wait until systemd has started all that is enabled."""
        boot = self._boot()
        self.run("systemctl reboot", check=False)
        wait_until(lambda: self._boot() not in ("", boot), f"{self.name} reboots", BOOT_TIMEOUT)
        wait_until(self._is_up, f"{self.name} is up", BOOT_TIMEOUT)

    def _boot(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id", check=False, timeout=60).stdout

    def _is_up(self) -> bool:
        state = self.run("systemctl is-system-running", check=False, timeout=60).stdout.strip()
        return state in ("running", "degraded")


@dataclass(frozen=True)
class VirtualLab:
    """An inventory of one VM on this machine, which plays every part."""

    operator: Operator
    folder: Path
    image: Path
    lab_name: str

    @property
    def deployment(self) -> Deployment:
        store = Store(self.lab_name, PROJECT / "credentials")
        return Deployment(self.operator, self.folder / "inventory.py", {}, store)

    @property
    def machine(self) -> VirtualMachine:
        return VirtualMachine(HOSTNAME, self.operator.key, self.known_hosts)

    @property
    def known_hosts(self) -> Path:
        return PROJECT / "credentials" / f"{self.lab_name}-known_hosts"

    def write(self, disks: Sequence[int] = DISKS, **host: Any) -> None:
        """Write the inventory anew.

        + disks: sizes of the VM's disks beside the root disk, in GB
        + host: more of the VM's data
        """
        data = {
            "ssh_user": "cloud-user",
            "ssh_key": str(self.operator.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "_sudo": True,
            "ssh_pub_key": self.operator.public_key.strip(),
            "image_uri": self.image.as_uri(),
            "image_checksum": f"sha256:{_digest(self.image)}",
            "resources": {
                "vcpus": 2,
                "ram": 2048,
                "disks": [{"size": size, "pool": NAME} for size in disks],
                "network": NAME,
            },
            "docker_storage": {"devices": ["disk1"], "volume_group": "docker-vg"},
            "quay_storage": {"devices": ["disk2"]},
            **host,
        }
        settings = {
            "lab_name": self.lab_name,
            "server_hostname": HOSTNAME,
            "libvirt_bridges": [NETWORK],
            "libvirt_pools": [{NAME: {"type": "dir", "path": str(POOL)}}],
            "virt_type": "qemu",
            "virtual_machine_timeout": BOOT_TIMEOUT,
            "image_source": "packages",
            # The stand-in is content with less than Quay.
            "minimum_memory_mb": 1024,
            "minimum_disk_mb": 1024,
            "health_timeout": 600,
        }
        (self.folder / "group_data").mkdir(parents=True, exist_ok=True)
        text = INVENTORY.format(name=HOSTNAME, libvirt=LIBVIRT, data=data)
        (self.folder / "inventory.py").write_text(text)
        lines = [f"{key} = {value!r}\n" for key, value in settings.items()]
        (self.folder / "group_data" / "all.py").write_text("".join(lines))

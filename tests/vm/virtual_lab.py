"""The example lab, scaled down: its inventory, runs of pyinfra, and libvirt's state."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaylab.secrets.credentials import Store
from quaylab.virtual import lab
from quaylab.virtual.addresses import of_machines
from tests.machine.deployment import HOSTNAME, Deployment
from tests.machine.machines import PROJECT, Operator, Result, run, wait_until

LIBVIRT = "qemu:///system"
NAME = "quaylab-test"
DOMAIN = "quaylab.test"
IMAGES = Path(lab.IMAGES)
SEEDS = Path(lab.SEEDS)
POOL = Path("/var/lib/quaylab-test")
# The example's, in the range that is reserved for tests of network devices (RFC 2544).
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
    "dhcp_end": "198.19.254.253",
}
# Sizes in GB: for the engine, for Quay, and four that a test fills with other data.
DISKS = (6, 2, 1, 1, 1, 1)
BOOT_TIMEOUT = 600

PROVISION = ("tasks/hypervisor.py", "--limit", "hypervisor")
INFORMATION = (("net-info", NAME), ("pool-info", NAME), ("dominfo", HOSTNAME))

INVENTORY = """\
from quaylab.virtual.addresses import of_machines

VM = {name!r}
_address = of_machines({libvirt!r}, [VM]).get(VM)

hypervisor = ["@local"]
lab = [(VM, {{**({{"ssh_hostname": _address}} if _address else {{}}), **{data!r}}})]
quay = [VM]
database = [VM]
redis = [VM]
"""


@dataclass(frozen=True)
class VirtualMachine:
    """The VM, reached over SSH with the host key from provisioning, as a deploy does."""

    name: str
    key: Path
    known_hosts: Path
    engine: str = "docker"

    @property
    def address(self) -> str:
        """Its address, from libvirt."""
        return of_machines(LIBVIRT, [self.name])[self.name]

    def run(
        self, command: str, check: bool = True, input: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root."""
        return run(
            *("ssh", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
            *("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", f"HostKeyAlias={self.name}"),
            *("-o", "StrictHostKeyChecking=yes", f"cloud-user@{self.address}"),
            f"sudo sh -c {shlex.quote(command)}",
            input=input,
            check=check,
            timeout=timeout,
        )

    def reboot(self) -> None:
        """Reboot cleanly, and wait until systemd has started all enabled units."""
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
    """An inventory of one VM on this machine, which runs all services."""

    operator: Operator
    folder: Path
    image: Path
    lab_name: str

    @property
    def deployment(self) -> Deployment:
        """Runs of pyinfra with the inventory. It has no ``machines``, as they are containers."""
        store = Store(self.lab_name, PROJECT / "credentials")
        return Deployment(self.operator, self.folder / "inventory.py", {}, store)

    @property
    def machine(self) -> VirtualMachine:
        return VirtualMachine(HOSTNAME, self.operator.key, self.known_hosts)

    @property
    def known_hosts(self) -> Path:
        return PROJECT / "credentials" / f"{self.lab_name}-known_hosts"

    @property
    def base(self) -> Path:
        """The path of the base image on the hypervisor."""
        return IMAGES / f"quaylab-base-{_sha256(self.image)[:16]}.qcow2"

    def up(self) -> None:
        """Run what ``./lab up`` does."""
        self.provision()
        self.deployment.run().check()

    def provision(self) -> list[str]:
        """Run the first half of it, which creates the VM; return what changed."""
        return changes(self.deployment.run(*PROVISION))

    def down(self) -> None:
        """Run what ``./lab down --data purge=…`` does to the VM."""
        down = ("tasks/teardown_hypervisor.py", "--limit", "hypervisor")
        self.deployment.run(*down, "--data", f"purge={HOSTNAME}").check()

    def write(self, disks: Sequence[int] = DISKS, **host: Any) -> None:
        """Write the inventory.

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
            "image_checksum": f"sha256:{_sha256(self.image)}",
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
            # The stand-in needs less than Quay.
            "minimum_memory_mb": 1024,
            "minimum_disk_mb": 1024,
            "health_timeout": 600,
        }
        (self.folder / "group_data").mkdir(parents=True, exist_ok=True)
        text = INVENTORY.format(name=HOSTNAME, libvirt=LIBVIRT, data=data)
        (self.folder / "inventory.py").write_text(text)
        lines = [f"{key} = {value!r}\n" for key, value in settings.items()]
        (self.folder / "group_data" / "all.py").write_text("".join(lines))


def changes(result: Result) -> list[str]:
    """Return the operations of a run that changed something."""
    return [name for name, _ in result.changed()]


def virsh(command: str) -> str:
    """Return virsh's output, which is empty if the object doesn't exist."""
    return run("virsh", "--connect", LIBVIRT, "--quiet", *command.split(), check=False).stdout


def inventory_of_libvirt() -> dict[str, list[str]]:
    """Return the names of all that libvirt has, and the files in its folders for disks."""
    pools = virsh("pool-list --all --name").split()
    return {
        "domains": sorted(virsh("list --all --name").split()),
        "networks": sorted(virsh("net-list --all --name").split()),
        "pools": sorted(pools),
        "volumes": sorted(virsh(f"vol-list {pool}") for pool in pools),
        "files": sorted(str(path) for each in (IMAGES, POOL, SEEDS) for path in each.glob("*")),
        "bridges": [name for name in (NETWORK["bridge"],) if Path("/sys/class/net", name).exists()],
    }


def definitions() -> dict[str, object]:
    """Return all that provisioning creates, as libvirt's XML and names of files."""
    return {
        # Without what differs each time: the bridge's MAC address, and the space on the disk.
        "network": _without("mac", virsh(f"net-dumpxml --inactive {NAME}")),
        "pool": _without("capacity|allocation|available", virsh(f"pool-dumpxml --inactive {NAME}")),
        "domain": virsh(f"dumpxml --inactive {HOSTNAME}"),
        "autostart": [virsh(f"{kind} {name}").count("yes") for kind, name in INFORMATION],
        "files": sorted(
            str(path)
            for folder in (IMAGES, POOL, SEEDS / HOSTNAME)
            for path in folder.glob("*")
            if HOSTNAME in str(path) or path.suffix == ".part"
        ),
    }


def _without(elements: str, xml: str) -> str:
    return re.sub(rf"\n *<({elements})\b.*", "", xml)


def sweep() -> None:
    """Remove what a killed session left behind."""
    virsh(f"destroy {HOSTNAME}")
    virsh(f"undefine {HOSTNAME}")
    for kind in ("net", "pool"):
        virsh(f"{kind}-destroy {NAME}")
        virsh(f"{kind}-undefine {NAME}")
    for left in (*IMAGES.glob(f"{HOSTNAME}-*"), *POOL.glob("*")):
        left.unlink()
    shutil.rmtree(SEEDS / HOSTNAME, ignore_errors=True)
    # The network's DNS would give the next VM another one's address.
    hosts = Path("/etc/hosts")
    lines = hosts.read_text().splitlines(keepends=True)
    hosts.write_text("".join(line for line in lines if f" {HOSTNAME} # quaylab-vms" not in line))


def _sha256(path: Path) -> str:
    return run("sha256sum", str(path)).stdout.split()[0]

"""A hypervisor's report, from stubs of its commands."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from facts.libvirt import Libvirt
from quaylab.virtual.found import Device, DiskFile, Hypervisor
from quaylab.virtual.lab import HOST_KEY, SEEDS
from tests.unit.shell import Shell

NETWORK = "<network><name>quaylab</name><uuid>u-1</uuid></network>"
DEFAULT = "<network><name>default</name><uuid>u-0</uuid></network>"
DOMAIN = "<domain type='kvm'><name>odd name</name><uuid>u-2</uuid></domain>"
VIRSH = f"""
shift 2
case "$1 $2" in
  'uri ') echo qemu:///system ;;
  'net-list --all') printf 'default\\nquaylab\\n\\n' ;;
  'net-info default') printf 'Name: default\\nActive:         no\\nAutostart:      yes\\n' ;;
  'net-info quaylab') printf 'Name: quaylab\\nActive:         yes\\nAutostart:      no\\n' ;;
  'net-dumpxml --inactive')
    case "$3" in quaylab) echo "{NETWORK}" ;; default) echo "{DEFAULT}" ;; esac ;;
  'list --all') printf 'odd name\\n\\n' ;;
  'dominfo odd name') printf 'State:          shut off\\nAutostart:      enable\\n' ;;
  'dumpxml --inactive') echo "{DOMAIN}" ;;
  'pool-list --all') ;;
  *) exit 1 ;;
esac
"""
IMAGE = {"format": "qcow2", "virtual-size": 10737418240, "backing-filename": "/base.qcow2"}


@pytest.fixture
def hypervisor(shell: Shell) -> Shell:
    for tool in ("curl", "ssh-keygen", "xorrisofs", "libvirtd", "qemu-kvm", "systemctl"):
        shell.stub(tool, "exit 0")
    shell.stub("virsh", VIRSH)
    shell.stub("qemu-img", f"cat <<'JSON'\n{json.dumps(IMAGE, indent=2)}\nJSON")
    shell.stub("vgs", "printf '  virt-pool|quaylab\\n  theirs|\\n'")
    return shell


def _report(shell: Shell, paths: list[str], devices: list[str]) -> Hypervisor:
    return Libvirt().process(shell.lines(Libvirt().command(paths=paths, devices=devices)))


def test_everything(hypervisor: Shell, tmp_path: Path) -> None:
    disk = tmp_path / "a disk.qcow2"
    disk.touch()
    found = _report(hypervisor, [str(disk), str(tmp_path), "/nowhere"], ["/nowhere"])
    assert found.missing == frozenset()
    assert found.answers and found.enabled
    assert list(found.networks) == ["default", "quaylab"]
    network = found.networks["quaylab"]
    assert (network.uuid, network.active, network.autostart) == ("u-1", True, False)
    domain = found.domains["odd name"]
    assert (domain.uuid, domain.active, domain.autostart) == ("u-2", False, True)
    assert found.pools == {}
    assert found.files == {str(disk): DiskFile("qcow2", 10737418240)}
    assert found.existing_paths == {str(disk), str(tmp_path)}
    assert found.volume_groups == {"virt-pool": True, "theirs": False}
    assert found.devices == {}


def test_an_old_qemu_img_knows_no_force_share(hypervisor: Shell, tmp_path: Path) -> None:
    info = json.dumps({**IMAGE, "format": "raw"})
    hypervisor.stub("qemu-img", f"test \"$2\" != --force-share || exit 1; echo '{info}'")
    disk = tmp_path / "disk"
    disk.touch()
    assert _report(hypervisor, [str(disk)], []).files[str(disk)].format == "raw"


def test_without_libvirt(shell: Shell) -> None:
    for tool in ("virsh", "systemctl", "vgs"):
        shell.stub(tool, "exit 1")
    found = _report(shell, ["/nowhere"], [])
    assert not (found.answers or found.enabled)
    assert (found.networks, found.domains, found.volume_groups) == ({}, {}, {})


@pytest.mark.parametrize(
    ("state", "active"),
    [("running", True), ("paused", True), ("shut off", False), ("crashed", False), ("no", False)],
)
def test_a_paused_vm_counts_as_active(state: str, active: bool) -> None:
    packed = base64.b64encode(DOMAIN.encode()).decode()
    found = Libvirt().process([f"domain|{state}|enable|{packed}"])
    assert found.domains["odd name"].active is active


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("device|virt-pool|LVM2_member|/dev/sdb", Device("virt-pool", "LVM2_member")),
        ("device||ext4|/dev/sdb", Device(None, "ext4")),
        ("device|||/dev/sdb", Device(None, None)),
    ],
)
def test_devices(line: str, device: Device) -> None:
    assert Libvirt().process([line]).devices == {"/dev/sdb": device}


def test_missing_tools_are_named() -> None:
    assert Libvirt().process(["missing|virsh", "missing|xorrisofs"]).missing == {
        "virsh",
        "xorrisofs",
    }


def test_the_content_of_a_disk_by_an_old_wipefs(shell: Shell, tmp_path: Path) -> None:
    """RHEL 7's has no --output."""
    shell.stub("pvs", "exit 5")
    shell.stub("lsblk", "exit 0")
    listed = "# offset,uuid,label,type\\n0x438,dd2a1b08,a label,ext4\\n0x1fe,,,dos\\n"
    shell.stub("wipefs", f"case \"$*\" in *--output*) exit 1 ;; esac; printf '{listed}'")
    disk = tmp_path / "disk"
    disk.touch()
    command = str(Libvirt().command(paths=[], devices=[str(disk)])).replace("! -b", "! -e")
    found = Libvirt().process(shell.run(command).stdout.splitlines())
    assert found.devices == {str(disk): Device(None, "ext4 dos")}


# As `virsh domstats --block` of libvirt 11.3 prints it.
STATS = """
Domain: 'quay.quaylab.lan'
  block.count=3
  block.0.name=vda
  block.0.path=/dev/virt-pool/a=b
  block.0.allocation=0
  block.0.capacity=10737418240
  block.0.physical=10737418240
  block.1.name=hda
  block.1.capacity=7
  block.2.name=vdb
  block.2.path=/srv/vms/disk2.qcow2
  block.2.capacity=21474836480
"""


def test_the_sizes_that_running_vms_see(hypervisor: Shell) -> None:
    stats = "'domstats --list-active') cat <<'END'\n" + STATS + "END\n;;\n  *) exit 1"
    hypervisor.stub("virsh", VIRSH.replace("*) exit 1", stats))
    assert _report(hypervisor, [], []).live_sizes == {
        "/dev/virt-pool/a=b": 10737418240,
        "/srv/vms/disk2.qcow2": 21474836480,
    }


def test_host_keys_by_vm(shell: Shell, tmp_path: Path) -> None:
    key = tmp_path / "quay.quaylab.lan" / f"{HOST_KEY}.pub"
    key.parent.mkdir()
    key.write_text("ssh-ed25519 AAAA quay.quaylab.lan\n")
    command = str(Libvirt().command(paths=[], devices=[])).replace(SEEDS, str(tmp_path))
    found = Libvirt().process(shell.run(command).stdout.splitlines())
    assert found.host_keys == {"quay.quaylab.lan": "ssh-ed25519 AAAA"}

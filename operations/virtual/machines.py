"""VMs: their disks, their seeds and their domains."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation

from operations import files
from operations.commands import fail, one_at_a_time, read_secret
from operations.virtual.hypervisor import VIRSH, report, virsh
from quaylab.model import ManagedFile
from quaylab.virtual import cloud_init, found, xml
from quaylab.virtual.found import Hypervisor
from quaylab.virtual.lab import ROOT_SIZE, Disk, Lab, Machine

HOST_KEY = "ssh_host_ed25519_key"


@operation()
def reimaged(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Remove a VM and its root disk, to be made anew. Its other disks are kept.

    + lab: the virtual lab
    + machine: the VM
    """
    there = report(lab)
    yield from removed(machine.name, there)
    yield remove_file(machine.root, machine.volume_group)
    yield remove_file(machine.seed)


def removed(name: str, there: Hypervisor) -> Generator[StringCommand]:
    """Stop a VM and remove its domain, not its disks."""
    if existing := there.domains.get(name):
        if existing.active:
            yield virsh("destroy", name)
        yield virsh("undefine --managed-save --snapshots-metadata", name)


def remove_file(path: str, volume_group: str | None = None) -> StringCommand:
    if volume_group:
        return StringCommand(f"test ! -e {path} || lvremove --quiet --yes {path} >/dev/null")
    return StringCommand("rm -f", path)


@operation()
def disks(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Have a VM's disks, the root disk by its image; one that is too small is grown.

    + lab: the virtual lab
    + machine: the VM
    """
    there = report(lab)
    if machine.root not in there.files:
        yield one_at_a_time(_root(machine))
    active = machine.name in there.domains and there.domains[machine.name].active
    for disk in machine.disks:
        have = there.files.get(disk.path)
        if have is None:
            yield virsh("pool-refresh", disk.pool)
            yield virsh("vol-create", disk.pool, xml=xml.volume(disk))
        elif have.size < disk.size:
            yield _grown(machine, disk, active)
    if all(path in there.files for path in (machine.root, *(d.path for d in machine.disks))):
        host.noop(f"the disks of {machine.name} are there")


def _root(machine: Machine) -> StringCommand:
    """The root disk, as large as the image at least; under its name only once it is whole."""
    base, root, new = machine.image.path, machine.root, f"{machine.root}.new"
    size = (
        f"if test -e {root}; then exit 0; fi;"
        f" size=$(qemu-img info --output=json {base} |"
        """ sed -n 's/.*"virtual-size": *\\([0-9]*\\).*/\\1/p' | head -n 1);"""
        f' if test "$size" -lt {ROOT_SIZE}; then size={ROOT_SIZE}; fi;'
    )
    if machine.volume_group is None:
        return StringCommand(
            size,
            # What the VM keeps secret is in it.
            f"umask 077; rm -f {new};",
            f"qemu-img create -q -f qcow2 -b {base} -F qcow2 {new} $size && mv {new} {root}",
        )
    volume = root.rpartition("/")[2]
    return StringCommand(
        size,
        f"test ! -e {new} || lvremove --quiet --yes {new} >/dev/null;",
        f"lvcreate --quiet --yes --wipesignatures y --zero y --size ${{size}}b --name {volume}.new",
        f"{machine.volume_group} >/dev/null &&",
        f"qemu-img convert -n -f qcow2 -O raw {base} {new} && sync &&",
        f"lvrename --quiet {machine.volume_group} {volume}.new {volume} >/dev/null &&",
        f"{VIRSH} pool-refresh {machine.volume_group} >/dev/null",
    )


def _grown(machine: Machine, disk: Disk, active: bool) -> StringCommand:
    steps = []
    if disk.format == "raw":
        steps.append(f"lvextend --quiet --size {disk.size}b {disk.path} >/dev/null")
    if active:
        resize = f"blockresize {machine.name} {disk.path} {disk.size}B"
        steps.append(f"{VIRSH} {resize} >/dev/null")
    elif disk.format == "qcow2":
        steps.append(f"qemu-img resize -q {disk.path} {disk.size}")
    steps.append(f"{VIRSH} pool-refresh {disk.pool} >/dev/null")
    return StringCommand(" && ".join(steps))


@operation()
def seeded(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Have what cloud-init reads at a VM's first boot, with the host key that it will show.

    + lab: the virtual lab
    + machine: the VM
    """
    there = report(lab)
    kept = read_secret(host, f"{machine.directory}/user-data")
    wanted = cloud_init.user_data(machine, kept)
    if machine.name in there.domains and kept not in (None, wanted):
        yield fail(
            "cloud_user_passwd, ssh_pub_key, install_packages, run_cmds and update are for the "
            f"first boot, which {machine.name} has behind it with others than these; set them "
            f"back, or make it anew with: --data reimage={machine.name}"
        )
        return
    if machine.name in there.domains and machine.seed in there.existing_paths:
        host.noop(f"{machine.name} has its seed")
        return
    if kept != wanted:
        yield files.write(ManagedFile(f"{machine.directory}/user-data", wanted, mode=0o600))
        meta_data = cloud_init.meta_data(machine)
        yield files.write(ManagedFile(f"{machine.directory}/meta-data", meta_data, mode=0o600))
    elif machine.seed in there.existing_paths:
        host.noop(f"{machine.name} has its seed")
        return
    yield _seed(machine)


def _seed(machine: Machine) -> StringCommand:
    new = f"{machine.seed}.new"
    return StringCommand(
        f"umask 077; cd {machine.directory} || exit 1; if test ! -f {HOST_KEY}; then",
        "rm -f new new.pub;",
        f"ssh-keygen -q -t ed25519 -N '' -C {machine.name} -f new &&",
        f"mv new.pub {HOST_KEY}.pub && mv new {HOST_KEY} || exit 1; fi;",
        # Secrets, so not in /tmp: a killed run's stay with the machine's own, till the next.
        f"rm -rf tmp.*; work=$(mktemp -d -p {machine.directory}) && {{",
        "cat user-data; printf 'ssh_keys:\\n  ed25519_private: |\\n';",
        f"sed 's/^/    /' {HOST_KEY}; printf '  ed25519_public: '; cat {HOST_KEY}.pub;",
        '} >"$work/user-data" && cp meta-data "$work" &&',
        "iso=$(command -v xorrisofs || command -v genisoimage || command -v mkisofs) &&",
        f'"$iso" -quiet -output {new} -volid cidata -joliet -rock "$work" 2>/dev/null &&',
        f'mv {new} {machine.seed}; made=$?; rm -rf "$work" {new}; exit $made',
    )


@operation()
def running(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Have a VM's domain as it has to be, running now and after a reboot.

    + lab: the virtual lab
    + machine: the VM
    """
    existing = report(lab).domains.get(machine.name)
    wanted = xml.domain(lab, machine)
    if existing is None:
        yield virsh("define", xml=wanted)
    else:
        now, then = found.domain(existing.xml), found.domain(wanted)
        where = ("--live", "--config") if existing.active else ("--config",)
        for disk in machine.disks:
            if disk.target not in now.disks:
                yield virsh(
                    f"attach-device {' '.join(where)} --file /dev/stdin --domain", machine.name,
                    xml=xml.disk_device(disk),
                )  # fmt: skip
        if (now.vcpus, now.ram, now.virt_type) != (then.vcpus, then.ram, then.virt_type):
            yield virsh("define", xml=wanted)
            if existing.active:
                logger.warning(f"{machine.name} gets its new size when it is shut down and started")
        elif existing.active and existing.autostart and now == then:
            host.noop(f"{machine.name} is running")
    if not (existing and existing.autostart):
        yield virsh("autostart", machine.name)
    if not (existing and existing.active):
        yield _started(lab, machine)


def _started(lab: Lab, machine: Machine) -> StringCommand:
    start = StringCommand(f"{VIRSH} start", QuoteString(machine.name), ">/dev/null")
    if lab.settings.virt_type == "qemu":
        return start
    hint = f"virt_type: {machine.name} does not start with kvm; where it can't, set virt_type=qemu"
    return StringCommand(start, "|| {", fail(hint), "; }")

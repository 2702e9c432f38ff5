"""VMs: their disks, their seeds and their domains."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pyinfra import host, logger
from pyinfra.api import QuoteString, StringCommand, operation

from operations.hosts import files
from operations.runtime.commands import encoded, fail, one_at_a_time, read_secret
from operations.virtual.hypervisor import VIRSH, report, virsh
from quaylab.model import ManagedFile
from quaylab.virtual import cloud_init, found, xml
from quaylab.virtual.found import Domain, Hypervisor
from quaylab.virtual.lab import HOST_KEY, ROOT_SIZE, Disk, Lab, Machine


@operation()
def reimaged(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Remove a VM and its root disk, so that they are created again. Its other disks stay.

    + lab: the virtual lab
    + machine: the VM
    """
    hypervisor = report(lab)
    yield from remove_domain(machine.name, hypervisor)
    yield remove_file(machine.root, machine.volume_group)
    yield remove_file(machine.seed)


def remove_domain(name: str, hypervisor: Hypervisor) -> Generator[StringCommand]:
    """Stop a VM and remove its domain; its disks stay."""
    if existing := hypervisor.domains.get(name):
        if existing.active:
            yield virsh("destroy", name)
        yield virsh("undefine --managed-save --snapshots-metadata", name)


def remove_file(path: str, volume_group: str | None = None) -> StringCommand:
    """Return a command that removes a file, or a logical volume of a volume group."""
    if volume_group:
        return StringCommand(f"test ! -e {path} || lvremove --quiet --yes {path} >/dev/null")
    return StringCommand("rm -f", path)


@operation()
def disks(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Create a VM's disks, the root disk from its image; a disk that is too small is extended.

    + lab: the virtual lab
    + machine: the VM
    """
    hypervisor = report(lab)
    if machine.root not in hypervisor.files:
        yield one_at_a_time(_create_root(machine))
    active = machine.name in hypervisor.domains and hypervisor.domains[machine.name].active
    for disk in machine.disks:
        existing = hypervisor.files.get(disk.path)
        if existing is None:
            yield virsh("pool-refresh", disk.pool)
            yield virsh("vol-create", disk.pool, xml=xml.volume(disk))
        else:
            # A killed run may have extended a volume alone.
            seen = hypervisor.live_sizes.get(disk.path, existing.size)
            if min(existing.size, seen) < disk.size:
                yield _extend(machine, disk, active, existing.size)
    if all(path in hypervisor.files for path in (machine.root, *(d.path for d in machine.disks))):
        host.noop(f"the disks of {machine.name} are there")


def _create_root(machine: Machine) -> StringCommand:
    """Return a command that makes the root disk, at least as large as its image.

    The disk gets its name only when it is complete.
    """
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
            # The disk holds the VM's secrets.
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


def _extend(machine: Machine, disk: Disk, active: bool, size: int) -> StringCommand:
    """Return a command that extends a disk, whose file or volume has this size in bytes."""
    steps = []
    if disk.format == "raw" and size < disk.size:
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
    """Build the seed that cloud-init reads at a VM's first boot, with the VM's SSH host key.

    + lab: the virtual lab
    + machine: the VM
    """
    hypervisor = report(lab)
    saved = read_secret(host, f"{machine.directory}/user-data")
    wanted = cloud_init.user_data(machine, saved)
    if machine.name in hypervisor.domains and saved not in (None, wanted):
        yield fail(
            "cloud_user_passwd, ssh_pub_key, install_packages, run_cmds and update count only at "
            f"the first boot, which {machine.name} had with other values; set them back, or create "
            f"it again with: --data reimage={machine.name}"
        )
        return
    if machine.seed in hypervisor.existing_paths and (
        machine.name in hypervisor.domains or saved == wanted
    ):
        host.noop(f"{machine.name} has its seed")
        return
    # The seed is removed first and built last, so that after a kill anywhere in between the next
    # run writes all files again, and no seed of other files is ever used.
    yield remove_file(machine.seed)
    contents = {"meta-data": cloud_init.meta_data(machine), "user-data": wanted}
    yield files.write(
        *(
            ManagedFile(f"{machine.directory}/{name}", content, mode=0o600)
            for name, content in contents.items()
        )
    )
    yield _build_seed(machine)


def _build_seed(machine: Machine) -> StringCommand:
    new = f"{machine.seed}.new"
    return StringCommand(
        f"umask 077; cd {machine.directory} || exit 1; if test ! -f {HOST_KEY}; then",
        "rm -f new new.pub;",
        f"ssh-keygen -q -t ed25519 -N '' -C {machine.name} -f new &&",
        f"mv new.pub {HOST_KEY}.pub && mv new {HOST_KEY} || exit 1; fi;",
        # They are secret, so not in /tmp: what a killed run leaves stays in the VM's own directory
        # until the next run.
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
    """Define and start a VM's domain, now and after a reboot.

    + lab: the virtual lab
    + machine: the VM
    """
    hypervisor = report(lab)
    existing = hypervisor.domains.get(machine.name)
    wanted = xml.domain(lab, machine)
    if existing is None:
        yield virsh("define", xml=wanted)
    else:
        now, then = found.domain(existing.xml), found.domain(wanted)
        for disk in machine.disks:
            if disk.target not in now.disks:
                yield _attach(machine, disk, existing.active)
        late = _not_attached(machine, now, hypervisor.live_sizes)
        # Not a definition anew: what was attached by hand would go.
        if now.virt_type != then.virt_type:
            yield virsh("define", xml=xml.with_virt_type(existing.xml, wanted))
            late.append("virt_type")
        if (now.ram, now.started_ram) != (then.ram, then.started_ram):
            yield virsh("setmaxmem --config", machine.name, f"{machine.ram}MiB")
            yield virsh("setmem --config", machine.name, f"{machine.ram}MiB")
            late.append("memory")
        if (now.vcpus, now.started_vcpus) != (then.vcpus, then.started_vcpus):
            yield virsh("setvcpus --config --maximum", machine.name, str(machine.vcpus))
            yield virsh("setvcpus --config", machine.name, str(machine.vcpus))
            late.append("processors")
        if existing.active and late:
            logger.warning(
                f"{machine.name} gets {', '.join(late)} when it is shut down and started"
            )
        if existing.active and existing.autostart and now == then:
            host.noop(f"{machine.name} is running")
    if not (existing and existing.autostart):
        yield virsh("autostart", machine.name)
    if not (existing and existing.active):
        yield _start(lab, machine)


def _attach(machine: Machine, disk: Disk, active: bool) -> StringCommand:
    """Return a command that attaches a disk to a VM, now if it runs and has a free port."""
    command, device = "attach-device --config --file /dev/stdin", xml.disk_device(disk)
    if not active:
        return virsh(f"{command} --domain", machine.name, xml=device)
    late = (
        f"resources: {disk.serial} could not be attached to {machine.name} while it runs, and is "
        f"in its configuration now; shut it down and start it (virsh shutdown {machine.name}; "
        f"virsh start {machine.name}), and run again"
    )
    attach = StringCommand(
        f'printf %s "$device" | {VIRSH} {command} --domain', QuoteString(machine.name)
    )
    return StringCommand(
        "device=$(base64 -d);", attach, "--live >/dev/null || {", attach, ">/dev/null &&",
        fail(late), "; }", _stdin=encoded(device.encode()),
    )  # fmt: skip


def _not_attached(machine: Machine, now: Domain, live_sizes: Mapping[str, int]) -> list[str]:
    """Return the disks in a VM's configuration that it has not got since; none if libvirt doesn't
    tell."""
    if not any(path in live_sizes for path in now.disks.values()):
        return []
    return [
        disk.serial
        for disk in machine.disks
        if now.disks.get(disk.target) == disk.path and disk.path not in live_sizes
    ]


def _start(lab: Lab, machine: Machine) -> StringCommand:
    start = StringCommand(f"{VIRSH} start", QuoteString(machine.name), ">/dev/null")
    if lab.settings.virt_type == "qemu":
        return start
    hint = f"virt_type: {machine.name} does not start with kvm; where it can't, set virt_type=qemu"
    return StringCommand(start, "|| {", fail(hint), "; }")

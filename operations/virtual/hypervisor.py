"""The hypervisor: libvirt, its networks and its storage pools."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.libvirt import TAG, Libvirt
from operations.runtime.commands import apt_install, encoded, fail
from operations.runtime.phases import postpone
from quaylab.hosts.machine import Machine
from quaylab.virtual import changes, known_hosts, xml
from quaylab.virtual.found import Hypervisor, Object
from quaylab.virtual.lab import Lab

START_TIMEOUT = 60
VIRSH = "virsh --quiet --connect qemu:///system"
DEBIAN = (
    "qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients dnsmasq-base iptables "
    "xorriso curl ca-certificates openssh-client"
)
RED_HAT = "libvirt qemu-kvm qemu-img curl openssh"


def report(lab: Lab) -> Hypervisor:
    """Return what the hypervisor, which is the current host, has of a lab."""
    found: Hypervisor = host.get_fact(
        Libvirt, paths=changes.paths(lab), devices=changes.devices(lab)
    )
    return found


def problems(lab: Lab) -> list[str]:
    """Return why this run can't make the lab on the hypervisor, which is the current host."""
    found = report(lab)
    return [*owner_problems(lab, found), *changes.refusals(lab, found)]


def owner_problems(lab: Lab, found: Hypervisor) -> list[str]:
    """Return why the lab on the hypervisor isn't the one of this folder."""
    return [*changes.owner_problems(lab, found, known_hosts.read(Path(lab.known_hosts)))]


def is_silent(found: Hypervisor) -> bool:
    """Return whether libvirt is installed and doesn't answer: its VMs may use disks then."""
    return "virsh" not in found.missing and not found.answers


def no_answer() -> StringCommand:
    """Return a command that fails because libvirt doesn't answer."""
    return fail(f"libvirt of {host.name} does not answer; start it, and run again")


def virsh(command: str, *words: str, xml: str | None = None) -> StringCommand:
    """Return a command of virsh; XML goes through standard input."""
    given = (QuoteString(word) for word in words)
    if xml is None:
        return StringCommand(f"{VIRSH} {command}", *given, ">/dev/null")
    return StringCommand(
        f"base64 -d | {VIRSH} {command}", *given,
        "" if "--file" in command else "/dev/stdin", ">/dev/null",
        _stdin=encoded(xml.encode()),
    )  # fmt: skip


@operation()
def installed(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Install libvirt, QEMU and the tools that make seeds.

    + lab: the virtual lab
    + machine: the hypervisor
    """
    missing = report(lab).missing
    if not missing:
        host.noop("libvirt and QEMU are there")
    elif machine.debian_family:
        logical = "libvirt-daemon-driver-storage-logical"
        # Since Debian 13 this is a separate package.
        lvm = f'lvm2 $(test -z "$(apt-cache pkgnames {logical})" || echo {logical})'
        yield apt_install(DEBIAN, lvm if lab.uses_lvm else "")
    else:
        tool = "yum" if machine.is_rhel_7 else "dnf"
        iso = "genisoimage" if machine.is_rhel_7 else "xorriso"
        lvm = " lvm2" if lab.uses_lvm else ""
        yield StringCommand(f"{tool} install --quiet --assumeyes {RED_HAT} {iso}{lvm}")


@operation()
def running(lab: Lab, machine: Machine) -> Generator[StringCommand]:
    """Run libvirt, now and after a reboot.

    + lab: the virtual lab
    + machine: the hypervisor
    """
    hypervisor = report(lab)
    if hypervisor.answers and (hypervisor.enabled or not machine.systemd):
        host.noop("libvirt answers")
    elif machine.systemd:
        # From RHEL 9 on each driver has its own daemon, which its socket starts.
        modular = "virtqemud virtnetworkd virtstoraged virtlogd virtproxyd"
        yield StringCommand(
            "if systemctl cat virtqemud.socket >/dev/null 2>&1 &&",
            "! systemctl cat libvirtd.service >/dev/null 2>&1; then",
            f"for daemon in {modular}; do",
            "systemctl enable --quiet --now $daemon.socket || exit 1; done;",
            f"else systemctl enable --quiet --now libvirtd; fi; {_wait_for_libvirt()}",
        )
    else:
        yield StringCommand(
            "export PATH=$PATH:/usr/sbin; mkdir -p /run/libvirt; virtlogd -d;",
            f"libvirtd -d || exit 1; {_wait_for_libvirt()}",
        )


def _wait_for_libvirt() -> str:
    return (
        f"for second in $(seq {START_TIMEOUT}); do {VIRSH} uri >/dev/null 2>&1 && exit 0; "
        "sleep 1; done; echo 'libvirt does not answer' >&2; exit 1"
    )


@operation()
def networks(lab: Lab) -> Generator[StringCommand]:
    """Create the networks, active and started at boot.

    + lab: the virtual lab
    """
    existing_networks = report(lab).networks
    for name, wanted in lab.networks.items():
        existing = existing_networks.get(name)
        if existing is None:
            yield virsh("net-define", xml=xml.network(lab, wanted))
        yield from _activate("net", name, existing)


@operation()
def pools(lab: Lab) -> Generator[StringCommand]:
    """Create the storage pools with their directories or groups, active and started at boot.

    + lab: the virtual lab
    """
    hypervisor = report(lab)
    for name, wanted in lab.pools.items():
        existing = hypervisor.pools.get(name)
        if wanted.type == "lvm" and name not in hypervisor.volume_groups:
            yield StringCommand(f"vgcreate --quiet --addtag {TAG} {name} {wanted.path} >/dev/null")
        if existing is None:
            if wanted.type == "dir":
                # QEMU's user needs access.
                yield StringCommand(f"test -d {wanted.path} || install -d -m 0711 {wanted.path}")
            yield virsh("pool-define", xml=xml.pool(lab, name, wanted))
        yield from _activate("pool", name, existing)


def _activate(kind: str, name: str, existing: Object | None) -> Generator[StringCommand]:
    """Start a network (net) or pool, now and at boot."""
    if existing and existing.active and existing.autostart:
        host.noop(f"{name} is active")
        return
    if not (existing and existing.autostart):
        yield virsh(f"{kind}-autostart", name)
    if not (existing and existing.active):
        yield virsh(f"{kind}-start", name)


@operation()
def no_conflicts(lab: Lab) -> Generator[StringCommand]:
    """Stop the run if the lab conflicts with what the hypervisor has.

    + lab: the virtual lab

    Where libvirt ran before, the plan has checked it; here it may just have been installed.
    """
    if postpone("looked at when the run comes to it"):
        return
    if found := problems(lab):
        yield fail("\n".join(found))
    else:
        host.noop("nothing conflicts with the lab")

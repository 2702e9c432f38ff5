"""The lab's domain on the hypervisor: asked of the networks' own DNS, which knows every lease."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from facts.resolver import Resolver, ResolverState
from facts.virtual_machines import Addresses
from operations import files, hosts_file
from operations.virtual.hypervisor import no_answer, report, silent
from quaylab.model import ManagedFile
from quaylab.virtual.lab import SEEDS, Lab


@operation()
def known(lab: Lab) -> Generator[StringCommand]:
    """Have the hypervisor resolve the VMs' names: by systemd-resolved or NetworkManager, else by
    lines in /etc/hosts.

    + lab: the virtual lab
    """
    there = host.get_fact(Resolver, mark=_mark(lab))
    if there.kind is None:
        yield from _hosts(lab, there)
        return
    wanted = [_hook(lab)] if there.kind == "systemd-resolved" else _network_manager(lab)
    loaded = _loaded(lab)
    found = host.get_fact(Files, paths=[file.path for file in (*wanted, loaded)])

    def differs(file: ManagedFile) -> bool:
        return file.path not in found or bool(found[file.path].differs(file))

    changed = [file for file in wanted if differs(file)]
    for file in changed:
        yield files.write(file)
    domains = {network.domain for network in lab.networks.values()}
    if there.kind == "systemd-resolved" and (changed or domains - there.routed):
        for name in lab.networks:
            yield StringCommand(_hook(lab).path, QuoteString(name), "started")
    elif there.kind == "NetworkManager" and (changed or differs(loaded)):
        yield StringCommand("systemctl reload NetworkManager")
        yield files.write(loaded)
    else:
        host.noop(f"{there.kind} knows {', '.join(sorted(domains))}")


@operation()
def forgotten(lab: Lab) -> Generator[StringCommand]:
    """Take back what :func:`known` told.

    + lab: the virtual lab
    """
    if silent(report(lab)):
        yield no_answer()
        return
    there = host.get_fact(Resolver, mark=_mark(lab))
    files, loaded = [file.path for file in (_hook(lab), *_network_manager(lab))], _loaded(lab).path
    found = host.get_fact(Files, paths=[*files, loaded])
    for path in files:
        if path in found:
            yield StringCommand("rm -f", QuoteString(path))
    if found and there.kind == "NetworkManager":
        yield StringCommand("systemctl reload NetworkManager")
    if loaded in found:
        yield StringCommand("rm -f", QuoteString(loaded))
    if there.hosts:
        yield hosts_file.rewritten(_mark(lab))
    if not (found or there.hosts):
        host.noop("nothing was told of the lab's domain")


def _hosts(lab: Lab, there: ResolverState) -> Generator[StringCommand]:
    addresses = host.get_fact(Addresses, names=[*lab.machines])
    lines = [f"{address} {name}" for name, address in sorted(addresses.items())]
    if sorted(there.hosts) == sorted(lines):
        host.noop("/etc/hosts knows the VMs")
    else:
        yield hosts_file.rewritten(_mark(lab), *lines)


def _mark(lab: Lab) -> str:
    return f"# quaylab-vms {lab.settings.lab_name}"


def _hook(lab: Lab) -> ManagedFile:
    """libvirt runs it as a network starts: https://libvirt.org/hooks.html. What resolved is told
    of a link is gone with the link."""
    lines = [
        "#!/bin/sh",
        "# The lab's domains are asked of their networks' own DNS.",
        "case $1-$2 in",
    ]
    for network in lab.networks.values():
        lines += [
            f"{network.name}-started)",
            f"  resolvectl dns {network.bridge} {network.ip_address} &&",
            f"  resolvectl domain {network.bridge} '~{network.domain}' ;;",
        ]
    content = "\n".join([*lines, "esac", ""])
    path = f"/etc/libvirt/hooks/network.d/quaylab-{lab.settings.lab_name}"
    return ManagedFile(path, content, mode=0o755)


def _network_manager(lab: Lab) -> list[ManagedFile]:
    """NetworkManager's own dnsmasq, as the seed's model has it."""
    name = f"quaylab-{lab.settings.lab_name}.conf"
    servers = "".join(
        f"server=/{network.domain}/{network.ip_address}\n" for network in lab.networks.values()
    )
    return [
        ManagedFile(f"/etc/NetworkManager/dnsmasq.d/{name}", servers),
        ManagedFile(f"/etc/NetworkManager/conf.d/{name}", "[main]\ndns=dnsmasq\n"),
    ]


def _loaded(lab: Lab) -> ManagedFile:
    """What NetworkManager has read. It follows the reload, which a killed run may not have come
    to."""
    content = "".join(file.content for file in _network_manager(lab))
    return ManagedFile(f"{SEEDS}/.resolver-{lab.settings.lab_name}", content)

"""The lab's domain on the hypervisor, resolved by the networks' DNS, which knows every lease."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from facts.resolver import Resolver, ResolverState
from facts.virtual_machines import Addresses
from operations.hosts import files, hosts_file
from operations.virtual.hypervisor import is_silent, no_answer, report
from quaylab.model import ManagedFile
from quaylab.virtual.lab import SEEDS, Lab


@operation()
def names_resolved(lab: Lab) -> Generator[StringCommand]:
    """Let the hypervisor resolve the VMs' names: by systemd-resolved or NetworkManager, else by
    lines in /etc/hosts.

    + lab: the virtual lab
    """
    resolver = host.get_fact(Resolver, mark=_mark(lab))
    if resolver.kind is None:
        yield from _hosts(lab, resolver)
        return
    wanted = [_hook(lab)] if resolver.kind == "systemd-resolved" else _network_manager(lab)
    loaded = _loaded(lab)
    found = host.get_fact(Files, paths=[file.path for file in (*wanted, loaded)])

    def differs(file: ManagedFile) -> bool:
        return file.path not in found or bool(found[file.path].differs(file))

    changed = [file for file in wanted if differs(file)]
    for file in changed:
        yield files.write(file)
    domains = {network.domain for network in lab.networks.values()}
    if resolver.kind == "systemd-resolved" and (changed or domains - resolver.routed):
        for name in lab.networks:
            yield StringCommand(_hook(lab).path, QuoteString(name), "started")
    elif resolver.kind == "NetworkManager" and (changed or differs(loaded)):
        yield StringCommand("systemctl reload NetworkManager")
        yield files.write(loaded)
    else:
        host.noop(f"{resolver.kind} knows {', '.join(sorted(domains))}")


@operation()
def names_removed(lab: Lab) -> Generator[StringCommand]:
    """Remove what :func:`names_resolved` has configured.

    + lab: the virtual lab
    """
    if is_silent(report(lab)):
        yield no_answer()
        return
    resolver = host.get_fact(Resolver, mark=_mark(lab))
    paths = [file.path for file in (_hook(lab), *_network_manager(lab))]
    loaded = _loaded(lab).path
    found = host.get_fact(Files, paths=[*paths, loaded])
    for path in paths:
        if path in found:
            yield StringCommand("rm -f", QuoteString(path))
    if found and resolver.kind == "NetworkManager":
        yield StringCommand("systemctl reload NetworkManager")
    if loaded in found:
        yield StringCommand("rm -f", QuoteString(loaded))
    if resolver.hosts:
        yield hosts_file.rewrite(_mark(lab))
    if not (found or resolver.hosts):
        host.noop("nothing is configured for the lab's domain")


def _hosts(lab: Lab, resolver: ResolverState) -> Generator[StringCommand]:
    addresses = host.get_fact(Addresses, names=[*lab.machines])
    lines = [f"{address} {name}" for name, address in sorted(addresses.items())]
    if sorted(resolver.hosts) == sorted(lines):
        host.noop("/etc/hosts knows the VMs")
    else:
        yield hosts_file.rewrite(_mark(lab), *lines)


def _mark(lab: Lab) -> str:
    return f"# quaylab-vms {lab.settings.lab_name}"


def _hook(lab: Lab) -> ManagedFile:
    """Return the hook that libvirt runs when a network starts: https://libvirt.org/hooks.html.

    systemd-resolved forgets a link's configuration together with the link. If it doesn't answer,
    the network starts all the same: the hook's failure would stop it.
    """
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
    content = "\n".join([*lines, "esac", "exit 0", ""])
    path = f"/etc/libvirt/hooks/network.d/quaylab-{lab.settings.lab_name}"
    return ManagedFile(path, content, mode=0o755)


def _network_manager(lab: Lab) -> list[ManagedFile]:
    """Return the files that let NetworkManager's dnsmasq resolve the lab's domains."""
    name = f"quaylab-{lab.settings.lab_name}.conf"
    servers = "".join(
        f"server=/{network.domain}/{network.ip_address}\n" for network in lab.networks.values()
    )
    return [
        ManagedFile(f"/etc/NetworkManager/dnsmasq.d/{name}", servers),
        ManagedFile(f"/etc/NetworkManager/conf.d/{name}", "[main]\ndns=dnsmasq\n"),
    ]


def _loaded(lab: Lab) -> ManagedFile:
    """Return the note of what NetworkManager has loaded. It is written after the reload, which a
    killed run may not have reached."""
    content = "".join(file.content for file in _network_manager(lab))
    return ManagedFile(f"{SEEDS}/.resolver-{lab.settings.lab_name}", content)

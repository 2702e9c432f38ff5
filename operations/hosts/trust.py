"""The registry's name and certificates on a host."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path, PurePosixPath

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.engines import host_engine
from facts.files import Files
from facts.trust import BundleHolds, Name
from operations.hosts import files, hosts_file
from operations.runtime.commands import fail
from operations.runtime.observation import ask, ask_each
from quaylab.checks import ownership
from quaylab.engines import ContainerEngine
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.plan import Plan
from quaylab.secrets import certificates

MARK = "# quaylab"


@operation()
def name_known(hostname: str, address: str | None) -> Generator[StringCommand]:
    """Let the registry's name resolve, by a line in /etc/hosts if DNS doesn't know it. The line of
    a former name goes.

    Where containers get the host's lines, the line goes once DNS has learnt the name: in a
    container the host's own 127.0.0.1 is the container itself.

    + hostname: the registry's name
    + address: its address if DNS has none; None if only DNS can know it
    """
    name = ask(Name, hostname=hostname, mark=MARK)
    if name.managed and name.dns_has_another and host_engine().gives_hosts_file:
        yield hosts_file.rewrite(MARK)
    elif (name.managed == address or name.managed is None) and name.resolves:
        if name.has_former_name:
            kept = [f"{address} {hostname}"] if name.managed else []
            yield hosts_file.rewrite(MARK, *kept)
        else:
            host.noop(f"{hostname} is known")
    elif address:
        yield hosts_file.rewrite(MARK, f"{address} {hostname}")
    else:
        if name.managed or name.has_former_name:
            yield hosts_file.rewrite(MARK)
        yield StringCommand(
            "getent hosts", QuoteString(hostname), ">/dev/null || {",
            fail(
                f"server_hostname: {host.name} can't resolve {hostname}, the name of a balancer "
                "that runs elsewhere; enter it into DNS, or set balancer_host to its address"
            ), "; }",
        )  # fmt: skip


@operation()
def registry_noted(plan: Plan) -> Generator[StringCommand]:
    """Write the note of the registry that a host serves. After a change of the registry's name or
    port, the engine's CA for the previous one is removed.

    + plan: the run's plan
    """
    wanted = ownership.note(
        plan.topology, plan.credentials, plan.settings.lab_name, host_engine().name
    )
    found = ask_each(Files, [wanted.path]).get(wanted.path)
    if found and not found.differs(wanted):
        host.noop(f"{wanted.path} is as it has to be")
        return
    before = ownership.read_note(plan.machines[host.name])
    if before and before.registry not in (plan.topology.registry, *plan.registries):
        yield remove_ca(host_engine().trust(before.registry))
    yield files.write(wanted)


def own_authorities(plan: Plan, engine: ContainerEngine, registries: Iterable[str]) -> list[str]:
    """Return the CA files of an engine's for registries that Quaylab wrote. With the user's own
    certificate a file may be the user's as well; then it is ours if it has the lab's CA, as a run
    from before that certificate wrote it."""
    paths = [engine.trust(each) for each in registries]
    if plan.certificate.ca:
        return paths
    if plan.credentials.ca_certificate is None:
        return []
    wanted = [ManagedFile(path, plan.credentials.ca_certificate) for path in paths]
    found = ask_each(Files, paths)
    return [
        file.path
        for file in wanted
        if file.path in found and found[file.path].sha256 == file.sha256
    ]


def remove_ca(path: str) -> StringCommand:
    """Return a command that removes a CA file of the engine's, and its folder if that is empty."""
    folder = QuoteString(str(PurePosixPath(path).parent))
    return StringCommand("rm -f", QuoteString(path), "; rmdir", folder, "2>/dev/null || :")


@operation()
def authority_trusted(machine: Machine, authority: Path) -> Generator[StringCommand]:
    """Let the whole host trust CAs, for downloads through a proxy that intercepts TLS.

    + machine: the host
    + authority: the CAs' PEM file on this machine
    """
    if machine.debian_family:
        anchor = "/usr/local/share/ca-certificates/quaylab-company.crt"
        update = "update-ca-certificates"
    else:
        anchor = "/etc/pki/ca-trust/source/anchors/quaylab-company.crt"
        update = "update-ca-trust"
    # Whole ones: a renewed CA has many lines of the one before.
    bodies = [certificates.pem_body(each) for each in certificates.read(authority)]
    if ask(BundleHolds, bundle=machine.ca_bundle, bodies=bodies):
        host.noop("the company's CA is trusted")
        return
    yield files.write(ManagedFile(anchor, authority.read_text()))
    yield StringCommand(f"{update} >/dev/null 2>&1")

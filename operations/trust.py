"""Names and certificates that a host has to know."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path, PurePosixPath

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from facts.trust import BundleHolds, Name
from operations import files, hosts_file
from operations.observation import ask, ask_each
from quaylab.checks import ownership
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.plan import Plan
from quaylab.topology import docker_trust

MARK = "# quaylab"


@operation()
def name_known(hostname: str, address: str) -> Generator[StringCommand]:
    """Have the registry's name lead somewhere, by a line in /etc/hosts where DNS has none.

    + hostname: the registry's name
    + address: where it leads if nothing else says so
    """
    name = ask(Name, hostname=hostname, mark=MARK)
    if name.managed == address or (name.managed is None and name.resolves):
        host.noop(f"{hostname} is known")
        return
    yield hosts_file.rewritten(MARK, f"{address} {hostname}")


@operation()
def registry_noted(plan: Plan) -> Generator[StringCommand]:
    """Note the registry that a host serves. After a change of its name or port, Docker's CA for the
    one before goes.

    + plan: the run's plan
    """
    wanted = note(plan)
    found = ask_each(Files, [wanted.path]).get(wanted.path)
    if found and not found.differs(wanted):
        host.noop(f"{wanted.path} is as it has to be")
        return
    before = ownership.read_note(plan.machines[host.name])
    if before and before.registry not in (plan.topology.registry, *plan.registries):
        yield distrusted(docker_trust(before.registry))
    yield files.write(wanted)


def note(plan: Plan) -> ManagedFile:
    """The note of the registry that a host serves."""
    return ownership.note(plan.topology, plan.credentials, plan.settings.lab_name)


def distrusted(trust: str) -> StringCommand:
    """Remove a CA that Docker trusts for a registry, and its folder if nothing else is in it."""
    folder = QuoteString(str(PurePosixPath(trust).parent))
    return StringCommand("rm -f", QuoteString(trust), "; rmdir", folder, "2>/dev/null || :")


@operation()
def authority_trusted(machine: Machine, authority: Path) -> Generator[StringCommand]:
    """Have the whole host trust a CA, for downloads through a proxy that opens TLS.

    + machine: the host
    + authority: the CA's PEM file on this machine
    """
    pem = authority.read_text()
    if machine.debian_family:
        anchor = "/usr/local/share/ca-certificates/quaylab-company.crt"
        update = "update-ca-certificates"
    else:
        anchor = "/etc/pki/ca-trust/source/anchors/quaylab-company.crt"
        update = "update-ca-trust"
    # A line of its content is enough to tell a certificate from others.
    line = pem.partition("-----BEGIN CERTIFICATE-----")[2].split()[1]
    if ask(BundleHolds, bundle=machine.ca_bundle, line=line):
        host.noop("the company's CA is trusted")
        return
    yield files.write(ManagedFile(anchor, pem))
    yield StringCommand(f"{update} >/dev/null 2>&1")

"""A VM's first boot, and its SSH host key."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

from pyinfra import host, inventory
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.virtual_machines import Addresses, HostKeys
from operations.hosts import reach
from operations.runtime.commands import complain, connector_arguments
from operations.virtual.hypervisor import report
from quaylab.clients.first_boot import NotYet, SshTarget, first_boot
from quaylab.clients.registry import RegistryError
from quaylab.virtual import known_hosts
from quaylab.virtual.lab import HOST_KEY, Lab, Machine

# Seconds.
INTERVAL = 5
REPORT_INTERVAL = 15
CONSOLE_LINES = 25


@operation()
def finished(lab: Lab, machine: Machine) -> Generator[PyinfraCommand]:
    """Wait until a VM accepts a login and cloud-init is done.

    + lab: the virtual lab
    + machine: the VM
    """
    existing = report(lab).domains.get(machine.name)
    if existing and existing.active:
        try:
            done = not _check(host, machine)
        except NotYet:
            done = False
        if done:
            host.noop(f"{machine.name} answers")
            return
    yield FunctionCommand(_wait, (lab, machine), {})


def _wait(state: State, host: Host, lab: Lab, machine: Machine) -> bool:
    begun, reported = time.monotonic(), 0.0
    while True:
        try:
            errors = _check(host, machine)
        except NotYet as reason:
            missing = str(reason)
        else:
            if errors:
                return complain(host, _error(host, lab, machine, "; ".join(errors)))
            return True
        passed = time.monotonic() - begun
        if passed > lab.settings.virtual_machine_timeout:
            late = f"waited {passed:.0f} s for {missing}"
            return complain(host, _error(host, lab, machine, late))
        if passed - reported >= REPORT_INTERVAL:
            reported = passed
            host.log_styled(f"{machine.name}: waits for {missing}, {passed:.0f} s", fg="blue")
        time.sleep(INTERVAL)


def _check(host: Host, machine: Machine) -> list[str]:
    """Return the errors of a finished first boot; raise NotYet while it is not finished."""
    address = host.get_fact(Addresses, names=[machine.name]).get(machine.name)
    if address is None:
        raise NotYet("an address")
    path = f"{machine.directory}/{HOST_KEY}.pub"
    key = host.get_fact(HostKeys, paths={machine.name: path}).get(machine.name)
    if key is None:
        raise NotYet(f"its host key, {path}")
    try:
        with reach.tunnel(host, address, 22) as (local, port):
            return first_boot(machine, SshTarget(local, port, key, _key_file(machine.name)))
    except RegistryError as error:
        raise NotYet(f"SSH ({error})") from error


def _key_file(name: str) -> str | None:
    """Return the path of the private key that the deploy will log in with."""
    path: str | None = inventory.get_host(name).data.get("ssh_key")
    return path


def _error(host: Host, lab: Lab, machine: Machine, what: str) -> str:
    """Return the error with the end of the console and, with kvm, another possible cause."""
    command = StringCommand(f"tail -n {CONSOLE_LINES}", QuoteString(machine.console))
    ok, output = host.run_shell_command(command, **connector_arguments(host))
    lines = [f"{machine.name}: its first boot is not over: {what}"]
    if lab.settings.virt_type == "kvm":
        lines.append("virt_type: if it does not boot with kvm, set virt_type=qemu")
    lines += ["the end of its console:", output.stdout if ok else "(none)"]
    return "\n".join(lines)


@operation()
def known_hosts_present(lab: Lab) -> Generator[FunctionCommand]:
    """Create the VMs' known_hosts file. By it later runs know that the lab was made from here.

    + lab: the virtual lab
    """
    path = Path(lab.known_hosts)
    if path.is_file():
        host.noop(f"{path} is there")
    else:
        yield FunctionCommand(known_hosts.save, (path, ""), {})


@operation()
def known_hosts_saved(lab: Lab) -> Generator[FunctionCommand]:
    """Save the VMs' host keys for the deploy, beside the credentials.

    + lab: the virtual lab
    """
    names = [*lab.machines]
    addresses = host.get_fact(Addresses, names=names)
    paths = {name: f"{each.directory}/{HOST_KEY}.pub" for name, each in lab.machines.items()}
    keys = host.get_fact(HostKeys, paths=paths)
    text = known_hosts.render(addresses, keys)
    path = Path(lab.known_hosts)
    if path.is_file() and path.read_text() == text:
        host.noop(f"{path} is up to date")
    else:
        yield FunctionCommand(known_hosts.save, (path, text), {})

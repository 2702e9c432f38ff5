"""Reboots: one machine at a time, while the others do its work."""

from __future__ import annotations

from collections.abc import Generator

from paramiko import SSHException
from pyinfra import host, inventory
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.connectors.local import LocalConnector

from operations.one_machine import while_others_serve
from operations.runtime import host_locks
from operations.runtime.commands import complain, connector_arguments, refusals
from operations.runtime.waiting import wait
from operations.services import patroni, virtual_address
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.services.ceph import runs_cephadm

# What is another after a reboot: the kernel's id, and when its first process began, as a machine
# that is a container shares its kernel with others. Not the time of /proc/1, which is that of a
# cached inode.
BOOT = "cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat"
# In the background, so that the connection ends in time.
REBOOT = "nohup sh -c 'sleep 1; systemctl reboot' >/dev/null 2>&1 &"
# Seconds for a machine to come back; servers test their memory for minutes.
TIMEOUT = 900


@operation(is_idempotent=False)
def rebooted(plan: Plan) -> Generator[PyinfraCommand]:
    """Reboot a machine while others stand in for it.

    + plan: the run's plan
    """
    yield from while_others_serve(
        plan,
        [FunctionCommand(_reboot, (), {})],
        plan.workloads_of(host.name),
        move_address=virtual_address.fail_over,
        has_member=host.name in plan.topology.database_members,
        has_cephadm=runs_cephadm(plan.topology, host.name),
    )


def in_order(plan: Plan) -> tuple[str, ...]:
    """Return the machines with services that take part, the one that leads the database last.

    Raises ``DeployError`` if pyinfra runs on one of them.
    """
    hosts = plan.connected(plan.topology.engine_hosts())
    with refusals():
        refuse(
            f"{name}: pyinfra runs on it; leave it out with --exclude, and reboot it by hand"
            for name in hosts
            if isinstance(inventory.get_host(name).connector, LocalConnector)
        )
    return patroni.leader_last(plan, hosts)


def _reboot(state: State, host: Host) -> bool:
    before = _boot(host)
    if before is None:
        return complain(host, f"{host.name} does not tell since when it runs: {BOOT}")
    host.run_shell_command(StringCommand(REBOOT), **connector_arguments(host))
    host.disconnect()

    def is_back() -> bool:
        host.connect(show_errors=False)
        if host.connected and _boot(host) not in (before, None):
            return True
        host.disconnect()
        return False

    if not wait(is_back, TIMEOUT, pause=1):
        return complain(
            host, f"{host.name} does not come back within {TIMEOUT} s; look at its console"
        )
    problem = host_locks.take_again(host)
    return problem is None or complain(host, problem)


def _boot(host: Host) -> str | None:
    """Return what identifies a machine's boot; None if it doesn't answer."""
    try:
        done, output = host.run_shell_command(StringCommand(BOOT), **connector_arguments(host))
    except (OSError, EOFError, SSHException):
        return None
    return output.stdout if done else None

"""keepalived, by which one of the balancers holds the virtual address."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.keepalived import Keepalived, KeepalivedState
from operations.hosts.files import present as written
from operations.runtime.commands import apt_install, fail
from operations.runtime.observation import ask
from operations.services import balancers
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.plan import Plan
from quaylab.services.keepalived import (
    CONFIGURATION,
    DIRECTORY,
    LOADED,
    PENDING,
    UNIT,
    UNIT_FILE,
    files,
)

TEST = f"keepalived --config-test --use-file={CONFIGURATION} >/dev/null"


@operation()
def installed(machine: Machine) -> Generator[StringCommand]:
    """Install the distribution's keepalived, whose own unit doesn't run without a configuration,
    and let its check connect to HAProxy, which SELinux forbids by default.

    + machine: the host
    """
    found: KeepalivedState = ask(Keepalived)
    if found.forbidden:
        yield StringCommand("setsebool -P keepalived_connect_any on")
    if found.installed:
        if not found.forbidden:
            host.noop("keepalived is there")
    elif machine.debian_family:
        yield apt_install("keepalived")
    else:
        yield StringCommand("yum install --quiet --assumeyes keepalived")


@operation()
def peers_loaded(plan: Plan) -> Generator[StringCommand]:
    """Have keepalived, where it runs, know all balancers before it starts on another one: one of
    which the holder does not know would hold the address too. Another `virtual_router_id` is loaded
    on all at once for the same reason; then the address is away for some seconds.

    + plan: the run's plan
    """
    wanted, found = _configuration(plan), ask(Keepalived)
    if not found.active or found.loaded == wanted.sha256:
        host.noop("no other configuration is to be loaded")
        return
    yield from written._inner(files=[wanted])
    yield StringCommand(TEST)
    yield StringCommand(f"systemctl reload {UNIT}")


@operation()
def running(plan: Plan) -> Generator[StringCommand]:
    """Run keepalived with its present configuration. To load it anew moves no address.

    + plan: the run's plan
    """
    found: KeepalivedState = ask(Keepalived)
    is_present = found.loaded == _configuration(plan).sha256
    if found.active and found.enabled and not found.outdated and is_present:
        host.noop("keepalived runs with its present configuration")
        return
    yield StringCommand(TEST)
    if not found.active or found.outdated:
        yield StringCommand(
            f"systemctl daemon-reload && systemctl enable --quiet {UNIT} && "
            f"systemctl restart {UNIT}"
        )
        # systemd calls it started before keepalived has read its configuration.
        yield StringCommand(
            f"sleep 3; systemctl is-active --quiet {UNIT} || "
            f"{{ journalctl --unit={UNIT} --lines=5 --no-pager --output=cat >&2;",
            fail(f"{host.name}: keepalived does not stay up; its last words are above"), "; }",
        )  # fmt: skip
    else:
        yield StringCommand(f"systemctl enable --quiet {UNIT} && systemctl reload {UNIT}")


@operation()
def unchecked(plan: Plan) -> Generator[StringCommand]:
    """Let this balancer hold the address before its HAProxy runs.

    + plan: the run's plan
    """
    if balancers.runs_haproxy(plan, host.name):
        host.noop("HAProxy runs")
    elif ask(Keepalived).pending:
        host.noop("it may hold the address without HAProxy")
    else:
        # It has its label before its name, which tells the next run that this is done.
        yield StringCommand(
            f"touch {PENDING}.new && {{ ! selinuxenabled 2>/dev/null || "
            f"restorecon {PENDING}.new; }} && mv -f {PENDING}.new {PENDING}"
        )


@operation()
def checked() -> Generator[StringCommand]:
    """Let this balancer hold the address only while its HAProxy is well."""
    if ask(Keepalived).pending:
        yield StringCommand(f"rm -f {PENDING}")
    else:
        host.noop("it holds the address only while HAProxy is well")


@operation()
def absent() -> Generator[StringCommand]:
    """Give up the virtual address, and remove our unit; the package stays."""
    if not ask(Keepalived).present:
        host.noop("no unit of ours is there")
        return
    yield StringCommand(
        f"systemctl disable --now --quiet {UNIT} && rm -f {UNIT_FILE} {LOADED} {PENDING} && "
        f"rm -rf {DIRECTORY} && systemctl daemon-reload"
    )


def _configuration(plan: Plan) -> ManagedFile:
    (found,) = (file for file in files(plan, host.name) if file.path == CONFIGURATION)
    return found

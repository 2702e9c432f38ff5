"""Podman: installed, able to run our containers, and with the proxy that it needs."""

from __future__ import annotations

import json
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.files import Paths
from facts.machine import EngineInfo
from facts.podman import OURS, RELOADER, Podman, PodmanState
from operations.hosts import files
from operations.runtime.commands import apt_install, fail
from operations.runtime.observation import ask
from operations.runtime.phases import postpone
from quaylab.engines.state import Engine
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.settings.hosts import proxy_variables
from quaylab.settings.loading import Settings

# With it Docker finds forwarding switched on at the next boot, and then does not drop what others
# forward.
FORWARDING = ManagedFile("/etc/sysctl.d/90-quaylab-forwarding.conf", "net.ipv4.ip_forward = 1\n")
PROXY_FILE = "/etc/containers/containers.conf.d/quaylab-proxy.conf"


@operation()
def installed(machine: Machine) -> Generator[StringCommand]:
    """Install the distribution's Podman, with what Quadlet and the containers' names need.

    + machine: the host
    """
    if ask(Podman).installed:
        host.noop("podman is there")
    elif machine.debian_family:
        yield apt_install("podman crun netavark aardvark-dns nftables apparmor ca-certificates")
    else:
        # RHEL 8's network backend is CNI, whose names come with the plug-ins. The last package has
        # semanage, for the labels of data directories.
        names = " podman-plugins" if machine.os_id != "fedora" and machine.os_major == 8 else ""
        yield StringCommand(
            f"dnf install --quiet --assumeyes podman{names} policycoreutils-python-utils"
        )


@operation()
def proxy_set(settings: Settings) -> Generator[StringCommand]:
    """Have Podman use the proxy of the settings for pulls; without one, remove only our own file.

    + settings: the run's settings
    """
    variables = [f"{name}={value}" for name, value in proxy_variables(settings).items()]
    if not variables:
        if ask(Paths, paths=[PROXY_FILE]):
            yield StringCommand(f"rm -f {PROXY_FILE}")
        else:
            host.noop("no proxy is set")
        return
    # Added to what the host's own containers.conf has there.
    entries = ", ".join([*map(json.dumps, variables), "{append=true}"])
    wanted = ManagedFile(PROXY_FILE, f"[engine]\nenv = [{entries}]\n")
    yield from files.present._inner(files=[wanted])


@operation()
def ready() -> Generator[StringCommand]:
    """Check that this Podman can run our containers, and that these are reached from outside."""
    engine: Engine | None = ask(EngineInfo)
    found: PodmanState = ask(Podman)
    if engine is None and postpone("looked at when the run has installed it"):
        return
    if engine is None or engine.unsupported:
        reason = engine.unsupported if engine else "not there"
        yield fail(f"{host.name}: its `podman` is {reason}")
        return
    if not (found.flushed or found.blocked or found.not_reloaded):
        host.noop("containers can run, and are reached")
    if found.flushed:
        yield StringCommand(f"podman network reload $({OURS}) >/dev/null")
    if found.blocked:
        yield files.write(FORWARDING)
        # As it is on a host with Podman alone.
        yield StringCommand("iptables --wait --policy FORWARD ACCEPT")
    if found.not_reloaded:
        yield StringCommand(f"systemctl enable --quiet --now {RELOADER}")

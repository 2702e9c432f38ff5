"""The container engine: installed, running, and through the proxy where there is one."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from dataclasses import replace

from pyinfra import host, state
from pyinfra.api import StringCommand, operation

from facts.docker import Daemon
from facts.machine import Machine as MachineFact
from operations.commands import apt_installed, fail
from quaylab import lost_data, quoting
from quaylab.files import ManagedFile
from quaylab.machine import Machine
from quaylab.plan import Plan, foreign_data
from quaylab.settings import Settings

START_TIMEOUT = 60
LOG = "/var/log/dockerd.log"


@operation()
def installed(machine: Machine, settings: Settings) -> Generator[StringCommand]:
    """Have an engine: the distribution's, or Docker CE where the distribution has none.

    + machine: the host
    + settings: the run's settings, for Docker CE's repository
    """
    if host.get_fact(Daemon).installed:
        host.noop("dockerd is there")
    elif machine.debian_family:
        # Debian 13 has the client in a package of its own; before, it was in docker.io.
        yield apt_installed(
            "docker.io apparmor ca-certificates",
            '$(test -z "$(apt-cache pkgnames docker-cli)" || echo docker-cli)',
        )
    elif machine.is_rhel_7:
        yield StringCommand("yum install --quiet --assumeyes docker")
    else:
        yield from _docker_ce(machine, settings.docker_ce_repository)


@operation()
def running(machine: Machine, settings: Settings) -> Generator[StringCommand]:
    """Have the engine running, now and after a reboot, with the proxy it needs.

    + machine: the host
    + settings: the run's settings, for the proxy
    """
    daemon = host.get_fact(Daemon)
    wanted = _proxies(settings)
    # Without a proxy in the settings, one that the host's admin set up is left alone.
    proxied = not any(wanted) or daemon.proxies == wanted
    if daemon.answers and proxied and (daemon.enabled or not machine.systemd):
        host.noop("the engine answers")
    elif machine.systemd:
        action = "restart" if daemon.answers and not proxied else "start"
        yield StringCommand(
            "systemctl daemon-reload && systemctl enable --quiet docker &&",
            f"systemctl {action} docker",
        )
    elif daemon.answers:
        yield fail(
            "https_proxy: dockerd on this host runs with another proxy, and without systemd it is "
            "yours to restart: stop it and run again"
        )
    else:
        # As on WSL or in a container. It outlives the session that starts it.
        variables = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in _variables(settings).items()
        )
        yield StringCommand(
            f"rm -f /var/run/docker.pid; {variables} setsid dockerd >>{LOG} 2>&1 </dev/null &",
            f"for second in $(seq {START_TIMEOUT}); do",
            "docker info >/dev/null 2>&1 && exit 0; sleep 1; done;",
            f"tail -n 5 {LOG} >&2; exit 1",
        )


@operation()
def fits(plan: Plan) -> Generator[StringCommand]:
    """Stop before anything is put over data that this run doesn't fit, or in the place of data that
    is not there.

    + plan: the run's plan
    """
    found = host.get_fact(MachineFact) if state.is_executing else None
    problems = []
    if found:
        machines = {**plan.machines, host.name: found}
        problems = foreign_data(replace(plan, machines={host.name: found}))
        problems += lost_data.problems(host.name, machines, plan.topology, plan.volumes_of)
    if problems:
        yield fail("\n".join(problems))
    else:
        host.noop("no data that this run doesn't fit")


def proxy_file(settings: Settings) -> ManagedFile | None:
    """The engine's systemd drop-in with the proxy; None without one."""
    variables = _variables(settings)
    if not variables:
        return None
    lines = "".join(
        f"Environment={quoting.systemd(f'{name}={value}')}\n" for name, value in variables.items()
    )
    path = "/etc/systemd/system/docker.service.d/quaylab-proxy.conf"
    return ManagedFile(path, f"[Service]\n{lines}")


def _proxies(settings: Settings) -> tuple[str, str, str]:
    return (settings.http_proxy or "", settings.https_proxy or "", settings.no_proxy or "")


def _variables(settings: Settings) -> dict[str, str]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in zip(names, _proxies(settings), strict=True) if value}


def _docker_ce(machine: Machine, repository: str) -> Generator[StringCommand]:
    """RHEL 8+, its kin and Fedora: https://docs.docker.com/engine/install/rhel/."""
    family = machine.os_id if machine.os_id in ("rhel", "fedora") else "centos"
    base = f"{repository}/{family}"
    lines = (
        "[docker-ce-stable]",
        "name=Docker CE",
        f"baseurl={base}/$releasever/$basearch/stable",
        "enabled=1",
        "gpgcheck=1",
        f"gpgkey={base}/gpg",
    )
    yield StringCommand(
        "cat >/etc/yum.repos.d/quaylab-docker-ce.repo", _stdin=[f"{line}\n" for line in lines]
    )
    yield StringCommand("dnf install --quiet --assumeyes docker-ce docker-ce-cli containerd.io")

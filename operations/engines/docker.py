"""Docker: installed, running, and with the proxy that it needs."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.docker import Daemon, DaemonState
from facts.files import Paths
from facts.machine import EngineInfo
from operations.runtime.commands import apt_install, fail, read_secret
from operations.runtime.observation import ask
from quaylab import quoting
from quaylab.engines import DOCKER, daemon_settings
from quaylab.engines.state import Engine
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.settings.hosts import proxy_variables
from quaylab.settings.loading import Settings

START_TIMEOUT = 60
LOG = "/var/log/dockerd.log"
LOG_LINES = 5
PROXY_FILE = "/etc/systemd/system/docker.service.d/quaylab-proxy.conf"
UNUSED_PROXY_FILE = f"{PROXY_FILE}.unused"


@operation()
def installed(machine: Machine, settings: Settings) -> Generator[StringCommand]:
    """Install an engine: the distribution's, or Docker CE where the distribution has none.

    + machine: the host
    + settings: the run's settings, for Docker CE's repository
    """
    if ask(Daemon).installed:
        host.noop("dockerd is there")
    elif machine.debian_family:
        # Since Debian 13 the client is a separate package; before, it was in docker.io.
        yield apt_install(
            "docker.io apparmor ca-certificates",
            '$(test -z "$(apt-cache pkgnames docker-cli)" || echo docker-cli)',
        )
    elif machine.is_rhel_7:
        yield StringCommand("yum install --quiet --assumeyes docker")
    else:
        yield from _install_docker_ce(machine, settings.docker_ce_repository)


@operation()
def running(machine: Machine, settings: Settings) -> Generator[StringCommand]:
    """Run the engine, now and after a reboot, with the proxy from the settings.

    + machine: the host
    + settings: the run's settings, for the proxy
    """
    daemon, engine = ask(Daemon), ask(EngineInfo)
    answers = engine is not None and engine.version is not None
    unused, proxied = _unused(settings), has_wanted_proxy(engine, settings)
    needs_restart = answers and (daemon.flushed or not proxied)
    if answers and not needs_restart and not unused and (daemon.enabled or not machine.systemd):
        host.noop("the engine answers")
        return
    if problem := _problem(machine, daemon, engine, proxied):
        yield fail(problem)
        return
    if unused:
        # systemd reads only the first; the second tells the next run what a killed one began.
        yield StringCommand(f"test ! -e {PROXY_FILE} || mv -f {PROXY_FILE} {UNUSED_PROXY_FILE}")
    if machine.systemd:
        yield from _start_by_systemd("restart" if needs_restart else "start")
    elif not answers:
        yield _start_directly(settings)
    if unused:
        yield StringCommand(f"rm -f {UNUSED_PROXY_FILE}")


def has_wanted_proxy(engine: Engine | None, settings: Settings) -> bool:
    """Whether the current host's engine runs with the proxy from the settings."""
    wanted = _proxies(settings)
    if engine is not None and engine.proxies == wanted:
        return True
    return not (any(wanted) or _unused(settings))


def _unused(settings: Settings) -> list[str]:
    """Return our drop-ins of a proxy that is not in the settings any more. Without ours, the host's
    admin may have set up another proxy."""
    if any(_proxies(settings)):
        return []
    found: list[str] = ask(Paths, paths=[PROXY_FILE, UNUSED_PROXY_FILE])
    return found


def _problem(
    machine: Machine, daemon: DaemonState, engine: Engine | None, proxied: bool
) -> str | None:
    """Return why the engine can't be started or must not be restarted; None if it can."""
    answers = engine is not None and engine.version is not None
    live_restore = engine is not None and engine.live_restore
    text = read_secret(host, daemon_settings.PATH)
    if problem := daemon_settings.form_problem(text or ""):
        return f"{daemon_settings.PATH} of {host.name} {problem}, else the engine can't start"
    if answers and daemon.flushed and not (machine.systemd and live_restore):
        return (
            f"{host.name}: the engine's rules are gone from iptables, so containers are not "
            "reached and none can be started; restart the engine there (systemctl restart docker; "
            "its containers stop meanwhile), and have it restarted after whatever flushes them"
        )
    if answers and not proxied and not machine.systemd:
        return (
            "https_proxy: dockerd on this host runs with another proxy, and without systemd it is "
            "yours to restart: stop it and run again"
        )
    return None


def _start_by_systemd(action: str) -> Generator[StringCommand]:
    yield StringCommand("systemctl daemon-reload && systemctl enable --quiet docker")
    yield StringCommand(
        # systemd refuses to start a unit at once that has just failed several times.
        "systemctl reset-failed docker 2>/dev/null;",
        f"systemctl {action} docker || {{ journalctl --unit=docker",
        "--identifier=dockerd --identifier=dockerd-current --output=cat --no-pager",
        f"--lines={LOG_LINES} >&2;",
        fail(f"{host.name}: the engine does not start; its last messages are above"), "; }",
    )  # fmt: skip


def _start_directly(settings: Settings) -> StringCommand:
    """Start the engine without systemd, as on WSL or in a container. It outlives the session."""
    variables = " ".join(
        f"{name}={shlex.quote(value)}" for name, value in proxy_variables(settings).items()
    )
    return StringCommand(
        f"rm -f /var/run/docker.pid; {variables} setsid dockerd >>{LOG} 2>&1 </dev/null &",
        f"for second in $(seq {START_TIMEOUT}); do",
        f"{DOCKER.answers} && exit 0; sleep 1; done;",
        f"tail -n {LOG_LINES} {LOG} >&2; exit 1",
    )


def proxy_file(settings: Settings) -> ManagedFile | None:
    """Return the engine's systemd drop-in with the proxy; None without a proxy."""
    variables = proxy_variables(settings)
    if not variables:
        return None
    lines = "".join(
        f"Environment={quoting.systemd(f'{name}={value}')}\n" for name, value in variables.items()
    )
    return ManagedFile(PROXY_FILE, f"[Service]\n{lines}")


def _proxies(settings: Settings) -> tuple[str, str, str]:
    return (settings.http_proxy or "", settings.https_proxy or "", settings.no_proxy or "")


def _install_docker_ce(machine: Machine, repository: str) -> Generator[StringCommand]:
    """Install Docker CE on RHEL 8+, its relatives and Fedora.

    See https://docs.docker.com/engine/install/rhel/.
    """
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

"""Docker: shell commands from specifications, and state from Docker's output."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from quaylab.engines.base import ContainerEngine
from quaylab.engines.inspected import PREFIX, REPORTED_LABELS, Objects, objects
from quaylab.engines.log_summary import LINES
from quaylab.engines.state import Engine
from quaylab.lines import split_first
from quaylab.model import (
    CREDENTIALS_LABEL,
    DIGEST_LABEL,
    LOW_SHARES,
    NETWORK,
    NORMAL_SHARES,
    RESTART_POLICY,
    VERSION_LABEL,
    Container,
    Mount,
)
from quaylab.paths import ETC

# If the daemon hangs, prints `hangs`; later docker commands then fail instead of blocking. They
# also fail if `docker` is Podman's shim, whose objects are Podman's.
_INFO = """\
client=$(command -v docker 2>/dev/null)
info=$(timeout 60 docker info --format '{"ServerVersion":{{json .ServerVersion}},\
"DockerRootDir":{{json .DockerRootDir}},"SecurityOptions":{{json .SecurityOptions}},\
"LiveRestoreEnabled":{{json .LiveRestoreEnabled}},\
"HttpProxy":{{json .HTTPProxy}},"HttpsProxy":{{json .HTTPSProxy}},"NoProxy":{{json .NoProxy}}}' \
2>/dev/null)
status=$?
test $status != 124 || { echo hangs; docker() { return 1; }; }
if test -n "$client"; then
    printf 'client %s\\n' "$(readlink -f "$client")"
    # Podman's shim fails in the middle of its answer.
    version=; test $status = 0 || version=$(docker --version 2>/dev/null | head -n 1)
    test -z "$version" || printf 'version %s\\n' "$version"
    case $version in *podman*) info=; docker() { return 1; } ;; esac
    printf 'info %s\\n' "$info"
fi
"""
_LABELS = "".join(f'|{{{{.Label "{label}"}}}}' for label in REPORTED_LABELS)
# Prints all objects with a name of ours as JSON, and the files that containers read. Containers of
# others are reported with their labels only, as their environment may hold secrets. An engine that
# doesn't run yet has nothing. -L: our directory may be a symbolic link to another disk.
_OBJECTS = f"""\
if command -v docker >/dev/null 2>&1; then
    named=$(docker ps --all --filter name={PREFIX} --format \
        'named {{{{.Names}}}}{_LABELS}' 2>/dev/null)
    printf '%s\\n' "$named"
    ours=$(printf '%s' "$named" | sed -n 's/^named \\([^|]*\\)|[^|].*/\\1/p')
    found=$(docker inspect --format '{{{{json .}}}}' {NETWORK} $ours 2>/dev/null |
        sed 's/^/object /')
    printf '%s\\n' "$found"
    images=$(printf '%s' "$found" |
        sed -n 's/.*"Config":.*"Image":"\\([^"]*\\)".*/\\1/p' | sort -u)
    test -z "$images" ||
        docker image inspect --format '{{{{json .}}}}' $images 2>/dev/null | sed 's/^/object /'
    volumes=$(docker volume ls --quiet --filter name={PREFIX} 2>/dev/null)
    test -z "$volumes" ||
        docker volume inspect --format '{{{{json .}}}}' $volumes 2>/dev/null |
        while read -r volume; do
            printf 'object %s\\n' "$volume"
            directory=$(printf '%s' "$volume" | sed -n 's/.*"device":"\\([^"]*\\)".*/\\1/p')
            test -n "$directory" || directory=$(printf '%s' "$volume" |
                sed -n 's/.*"Mountpoint":"\\([^"]*\\)".*/\\1/p')
            name=$(printf '%s' "$volume" | sed -n 's/.*"Name":"\\([^"]*\\)".*/\\1/p')
            test -d "$directory" || printf 'missing %s\\n' "$name"
            test -n "$(ls -A "$directory" 2>/dev/null)" || printf 'empty %s\\n' "$name"
        done
fi
find -L {ETC} -type f -printf 'file %T@ ' -exec sha256sum {{}} \\; 2>/dev/null || :
"""


class Docker(ContainerEngine):
    """Docker's daemon, which itself keeps containers running."""

    name = "docker"
    title = "Docker"
    root = "/var/lib/docker"
    certificates = "/etc/docker/certs.d"
    default_network = "bridge"
    gives_hosts_file = False
    info = _INFO
    objects = _OBJECTS
    # Without root's client configuration: its `proxies` would be set in every container.
    run_words = "DOCKER_CONFIG=/nonexistent docker run"
    low_shares = f"--cpu-shares={LOW_SHARES}"

    answers = "docker info >/dev/null 2>&1"
    uses_nftables = "docker info 2>/dev/null | grep --quiet 'Firewall Backend: nftables'"
    # The engine's root directory, its storage driver, and its numbers of containers and images.
    root_directory = "docker info --format '{{.DockerRootDir}}' 2>/dev/null"
    driver = "docker info --format 'driver {{.Driver}}' 2>/dev/null"
    counts = "docker info --format '{{.Containers}}{{.Images}}' 2>/dev/null"

    def parse_info(self, output: Sequence[str]) -> Engine | None:
        values = dict(split_first(line) for line in output)
        if "client" not in values:
            return None
        path, client, text = values["client"], values.get("version", ""), values.get("info", "")
        info: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
        # Each is a name, some with a profile after a comma.
        options = {each.partition(",")[0] for each in info.get("SecurityOptions") or []}
        unsupported, is_shim = None, "podman" in client.lower() or "podman" in path
        if is_shim:
            unsupported = (
                "Podman's shim, which lacks what is needed; remove podman-docker, or set "
                "container_engine to podman"
            )
        elif "/snap/" in path or "/snap/" in str(info.get("DockerRootDir")):
            unsupported = "a snap, which can't read /etc; install the distribution's or Docker CE"
        elif "name=rootless" in options:
            unsupported = "rootless, and can't bind the registry's ports; use the system's engine"
        elif "name=userns" in options:
            unsupported = (
                "set up with userns-remap, so containers can't read files for their users; remove "
                "it from /etc/docker/daemon.json, or set container_engine to podman"
            )
        elif "hangs" in values:
            unsupported = (
                "at a standstill: its engine gives no answer within 60 s; see what holds it up "
                "(journalctl --unit=docker), then restart it: systemctl restart docker"
            )
        return Engine(
            version=info.get("ServerVersion") or None,
            root_directory=info.get("DockerRootDir"),
            unsupported=unsupported,
            proxies=(
                info.get("HttpProxy") or "",
                info.get("HttpsProxy") or "",
                info.get("NoProxy") or "",
            ),
            live_restore=bool(info.get("LiveRestoreEnabled")),
            is_shim=is_shim,
        )

    def parse_objects(self, output: Sequence[str]) -> Objects:
        return objects(output)

    # --- a service's container ---

    def run_arguments(self, container: Container) -> list[str]:
        """Return the arguments of ``docker run``; none of them is secret."""
        arguments = [
            "--detach",
            f"--name={container.name}",
            f"--network={'host' if container.host_network else NETWORK}",
            f"--restart={RESTART_POLICY}",
            f"--stop-timeout={container.stop_timeout}",
            f"--label={DIGEST_LABEL}={container.digest}",
            f"--label={VERSION_LABEL}={container.version}",
            f"--label={CREDENTIALS_LABEL}={container.owner}",
            "--log-driver=json-file",
            f"--log-opt=max-size={container.log_size}",
            f"--log-opt=max-file={container.log_files}",
        ]
        if container.health:
            arguments += [
                f"--health-cmd={container.health}",
                f"--health-interval={container.health_interval}s",
            ]
        if container.privileged:
            arguments.append("--privileged")
        if container.user:
            arguments.append(f"--user={container.user}")
        arguments += [f"--cap-add={capability}" for capability in container.capabilities]
        arguments += [f"--device={device}" for device in container.devices]
        arguments += [f"--publish={port}" for port in container.ports]
        arguments += [f"--volume={self.bind(mount)}" for mount in container.mounts]
        arguments += [f"--env={name}={value}" for name, value in container.environment]
        return [*arguments, container.image, *container.command]

    def replace(self, container: Container) -> tuple[str, ...]:
        # Look for it again: the container of a killed run may have come up only now.
        return self.remove_ours(container.name), self.run(container)

    def run(self, container: Container) -> str:
        return f"{self.run_words} {shlex.join(self.run_arguments(container))} >/dev/null"

    def apply(self, container: Container, change: str) -> str:
        if change == "update":
            change = f"update --restart={RESTART_POLICY} --cpu-shares={NORMAL_SHARES}"
        return f"docker {change} {container.name} >/dev/null"

    def set_shares(self, name: str, shares: int) -> str:
        return f"docker update --cpu-shares={shares} {name} >/dev/null"

    def remove(self, name: str) -> str:
        return f"docker stop {name} >/dev/null && docker rm --force --volumes {name} >/dev/null"

    def remove_ours(self, name: str) -> str:
        found = f"$(docker ps --all --quiet --filter label={DIGEST_LABEL} --filter name=^/{name}$)"
        return (
            f"ours={found}; docker stop $ours >/dev/null 2>&1; "
            "docker rm --force --volumes $ours >/dev/null 2>&1 || :"
        )

    def restarts(self, name: str) -> str:
        return f"docker inspect --format '{{{{.RestartCount}}}}' {name} || echo 99"

    def last_lines(self, name: str) -> str:
        return f"docker logs --tail {LINES} {name} 2>&1"

    def make_room(self, name: str) -> str:
        return f"docker rename {name} NAME"

    def logs(self, name: str) -> str:
        return f"docker logs {name}"

    def bind(self, mount: Mount) -> str:
        return f"{mount.source}:{mount.target}:{'ro,z' if mount.read_only else 'z'}"

    # --- images ---

    identities = "docker image inspect --format '{{.Id}}{{range .RepoDigests}} {{.}}{{end}}' \"$@\""

    def reference_of(self, image: str) -> str:
        return image

    def pull(self, image: str, user: str, has_secret: bool = False) -> str:
        home = f"home=$(getent passwd {user} | cut -d: -f6)"
        return f'{home}; docker --config "$home/.docker" pull {shlex.quote(image)} >/dev/null'

    def build(self, image: str, arguments: Mapping[str, str], context: str) -> str:
        # The classic builder: BuildKit needs a plug-in that Debian doesn't install with Docker.
        options = shlex.join(f"--build-arg={name}={value}" for name, value in arguments.items())
        return (
            f"DOCKER_BUILDKIT=0 docker build --tag {shlex.quote(image)} {options} - <{context} "
            ">/dev/null"
        )

    def build_base(self, image: str, script: str) -> str:
        return f"sh {script} {shlex.quote(image)}"


DOCKER = Docker()

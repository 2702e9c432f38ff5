"""Docker: shell commands from specifications, and state from Docker's output.

Commands are text for a POSIX shell; all values from settings are quoted in them. No other module
knows Docker's command line.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from quaylab.engines.log_summary import LINES, SUMMARY
from quaylab.engines.state import ContainerState, EngineState, FoundVolume, WrittenFile
from quaylab.model import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    DIGEST_LABEL,
    LOW_SHARES,
    NETWORK,
    NORMAL_SHARES,
    RESTART_POLICY,
    VERSION_LABEL,
    Container,
    Mount,
    PublishedPort,
    Volume,
)
from quaylab.paths import ETC

# The prefix of our containers' and volumes' names.
PREFIX = "quaylab-"
# Without root's client configuration: its `proxies` would be set in every container.
RUN = "DOCKER_CONFIG=/nonexistent docker run"


# --- containers ---


def run_arguments(container: Container) -> list[str]:
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
    arguments += [f"--volume={bind(mount)}" for mount in container.mounts]
    arguments += [f"--env={name}={value}" for name, value in container.environment]
    return [*arguments, container.image, *container.command]


def bind(mount: Mount) -> str:
    """Return the value of ``--volume``. With z the engine labels the content for containers if
    SELinux enforces; otherwise it has no effect."""
    return f"{mount.source}:{mount.target}:{'ro,z' if mount.read_only else 'z'}"


def run(container: Container) -> str:
    return f"{RUN} {shlex.join(run_arguments(container))} >/dev/null"


def run_once(name: str, mounts: Iterable[Mount], image: str, *words: str) -> str:
    """Run a command in a container on our network, and remove the container at its end. The client
    forwards no signals to it, so it keeps running if the run is interrupted. It has few shares of
    the processors, as others serve meanwhile."""
    options = [*(f"--volume={bind(mount)}" for mount in mounts), image, *words]
    return (
        f"{RUN} --rm --sig-proxy=false --name={name} --network={NETWORK} "
        f"--cpu-shares={LOW_SHARES} {shlex.join(options)}"
    )


def run_script(name: str, mounts: Iterable[Mount], image: str, script: str) -> str:
    """Run a Python script in a container on our network, and remove the container at its end. The
    script reads the command's standard input, which no argument, variable or log shows."""
    binds = [f"--volume={bind(mount)}" for mount in mounts]
    words = ["--entrypoint=python3", "--workdir=/", image, "-c", script]
    return (
        f"{RUN} --rm --interactive --sig-proxy=false --name={name} --network={NETWORK} "
        f"{shlex.join([*binds, *words])}"
    )


def remove_at_once(name: str) -> str:
    """Kill and remove a container that a killed run may have left."""
    return f"docker rm --force --volumes {name} >/dev/null 2>&1 || :"


def change(container: Container, change: str) -> str:
    """Start, unpause or restart a container, or give it our restart policy and normal priority."""
    if change == "update":
        change = f"update --restart={RESTART_POLICY} --cpu-shares={NORMAL_SHARES}"
    return f"docker {change} {container.name} >/dev/null"


def set_shares(name: str, shares: int) -> str:
    """Set a running container's shares of the processors."""
    return f"docker update --cpu-shares={shares} {name} >/dev/null"


def remove(name: str) -> str:
    """Stop an existing container gracefully, and remove it with its anonymous volumes, which would
    pile up; named volumes stay."""
    return f"docker stop {name} >/dev/null && docker rm --force --volumes {name} >/dev/null"


def remove_ours(name: str) -> str:
    """Stop and remove a container of this name if it exists and has our label. A container without
    the label stays, and the engine then refuses the name."""
    found = f"$(docker ps --all --quiet --filter label={DIGEST_LABEL} --filter name=^/{name}$)"
    return (
        f"ours={found}; docker stop $ours >/dev/null 2>&1; "
        "docker rm --force --volumes $ours >/dev/null 2>&1 || :"
    )


def remove_when_ended(name: str) -> str:
    """Wait for a container that a killed run may have left running, and remove it."""
    return (
        f"docker wait {name} >/dev/null 2>&1; docker rm --force --volumes {name} >/dev/null 2>&1"
        " || :"
    )


def reload(name: str) -> str:
    """Send a container's first process the signal to load its files anew."""
    return f"docker kill --signal=HUP {name} >/dev/null"


def logs(name: str) -> str:
    """Return the command that shows a container's log, for a message to people."""
    return f"docker logs {name}"


def label(name: str, label: str) -> str:
    """Print the value of a container's label."""
    template = "{{index .Config.Labels " + json.dumps(label) + "}}"
    return f"docker inspect --format {shlex.quote(template)} {name}"


def execute(name: str, script: str) -> str:
    """Run a shell command in a container."""
    return f"docker exec {name} sh -c {shlex.quote(script)}"


def execute_words(name: str) -> tuple[str, ...]:
    """Return the words before a command in a container that reads standard input."""
    return ("docker", "exec", "--interactive", name)


def execute_bash(name: str, script: str, *words: str, interactive: bool = False) -> str:
    """Run a bash script in a container; in bash RHEL 7's rhscl images have a longer PATH.

    Args:
        script: one word of the host's shell, quoted by the caller if necessary.
        words: the script's $0, $1, and so on.
        interactive: pass standard input on, which has to be a file or a pipe.
    """
    option = "--interactive " if interactive else ""
    return f"docker exec {option}{name} bash -c {script} {shlex.join(words)}"


def begin_to_stop(container: Container, script: str) -> str:
    """Run a script in a container before it is stopped, and go on if it fails."""
    command = execute(container.name, script)
    return f"timeout {container.stop_timeout} {command} >/dev/null 2>&1 || :"


def wait_until_healthy(container: Container, seconds: int) -> str:
    """Run the container's own health check until it succeeds.

    The wait ends early if the container keeps exiting. The error shows complaints from its log.
    """
    error = f"{container.name} does not become healthy (health_timeout: {seconds} s); it said:"
    check = execute(container.name, container.health)
    return (
        f"restarts() {{ docker inspect --format '{{{{.RestartCount}}}}' {container.name} || "
        "echo 99; }; "
        # A check takes processor time from what starts, so the pauses grow to half a second.
        f"end=$(($(date +%s) + {seconds})); first=$(restarts); pause=1; "
        f"until {check} >/dev/null 2>&1; do "
        'if test $(($(restarts) - first)) -ge 3 || test "$(date +%s)" -ge "$end"; then '
        f"printf '%s\\n' {shlex.quote(error)} >&2; "
        f"docker logs --tail {LINES} {container.name} 2>&1 | awk {shlex.quote(SUMMARY)} >&2; "
        "exit 1; fi; sleep 0.$pause; test $pause = 5 || pause=$((pause + 1)); done"
    )


def reach(container: str, image: str, script: str, *words: str, inside: bool) -> str:
    """Run a bash script in the network of a container, with its name resolution and routes.

    Args:
        words: the script's $0, $1, and so on.
        inside: run it in the container, which has to be up; else in another one of its image.
    """
    arguments = shlex.join(("bash", "-c", script, *words))
    if inside:
        return f"docker exec {container} {arguments}"
    return (
        f"{HAS_NETWORK} && on={NETWORK} || on=bridge; "
        f'docker run --rm --network="$on" --entrypoint=bash {shlex.quote(image)} '
        f"{arguments.removeprefix('bash ')}"
    )


# --- the engine ---

ANSWERS = "docker info >/dev/null 2>&1"
USES_NFTABLES = "docker info 2>/dev/null | grep --quiet 'Firewall Backend: nftables'"
# The engine's root directory, its storage driver, and its numbers of containers and images.
ROOT_DIRECTORY = "docker info --format '{{.DockerRootDir}}' 2>/dev/null"
DRIVER = "docker info --format 'driver {{.Driver}}' 2>/dev/null"
COUNTS = "docker info --format '{{.Containers}}{{.Images}}' 2>/dev/null"


# --- networks and volumes ---

HAS_NETWORK = f"docker network inspect {NETWORK} >/dev/null 2>&1"
CREATE_NETWORK = f"{HAS_NETWORK} || docker network create {NETWORK} >/dev/null"
REMOVE_NETWORK = (
    f'if test -z "$(docker ps --all --quiet --filter network={NETWORK})"; '
    f"then docker network rm {NETWORK} >/dev/null; "
    f"else echo 'the network {NETWORK} has containers of others, and stays' >&2; fi"
)


def volume_arguments(volume: Volume) -> list[str]:
    """Return the arguments of ``docker volume create``."""
    labels = [f"--label={name}={value}" for name, value in sorted(volume.labels.items())]
    options = (
        ["--opt=type=none", "--opt=o=bind", f"--opt=device={volume.device}"] if volume.path else []
    )
    return [*options, *labels, volume.name]


def create_volume(volume: Volume) -> str:
    return f"docker volume create {shlex.join(volume_arguments(volume))} >/dev/null"


def remove_volume(name: str) -> str:
    return f"docker volume rm {shlex.quote(name)} >/dev/null"


# --- images ---


def pull(image: str, user: str) -> str:
    """Pull an image with the logins of one of the host's users."""
    home = f"home=$(getent passwd {user} | cut -d: -f6)"
    return f'{home}; docker --config "$home/.docker" pull {shlex.quote(image)} >/dev/null'


def load(archive: str) -> str:
    return f"docker load --input {archive} >/dev/null"


def build(image: str, arguments: Mapping[str, str], context: str) -> str:
    """Build an image from an archive.

    Args:
        context: the archive, as one word of the shell.
    """
    # The classic builder: BuildKit needs a plug-in that Debian doesn't install with Docker.
    options = shlex.join(f"--build-arg={name}={value}" for name, value in arguments.items())
    return (
        f"DOCKER_BUILDKIT=0 docker build --tag {shlex.quote(image)} {options} - <{context} "
        ">/dev/null"
    )


def has_image(image: str) -> str:
    """Succeed if the host has an image."""
    return f"docker image inspect {shlex.quote(image)} >/dev/null 2>&1"


def remove_image(image: str) -> str:
    return f"docker image rm {shlex.quote(image)} >/dev/null"


# Prints name, identity and recorded identity of images. "$@" are pairs: an image's name, and the
# file that records its identity. One call for all; one call for each if some are missing.
IMAGES = """\
identities() { docker image inspect --format '{{.Id}}{{range .RepoDigests}} {{.}}{{end}}' "$@"; }
names=; for word do case $word in /*) ;; *) names="$names $word" ;; esac; done
if found=$(identities $names 2>/dev/null); then :; else
    found=$(for name in $names; do echo "$(identities "$name" 2>/dev/null)"; done)
fi
printf '%s\\n' "$found" | while read -r found; do
    test -z "$found" ||
        echo "$1|$found|$(cat "$2" 2>/dev/null | tr -cd '[:alnum:]@:/._ -')"
    shift 2
done"""


# --- the engine's state ---

# If the daemon hangs, prints `hangs`; later docker commands then fail instead of blocking.
INFO = """\
info=$(timeout 60 docker info --format '{"ServerVersion":{{json .ServerVersion}},\
"DockerRootDir":{{json .DockerRootDir}},"SecurityOptions":{{json .SecurityOptions}},\
"LiveRestoreEnabled":{{json .LiveRestoreEnabled}},\
"HttpProxy":{{json .HTTPProxy}},"HttpsProxy":{{json .HTTPSProxy}},"NoProxy":{{json .NoProxy}}}' \
2>/dev/null)
test $? != 124 || { echo hangs; docker() { return 1; }; }
if command -v docker >/dev/null 2>&1; then
    printf 'client %s\\n' "$(readlink -f "$(command -v docker)")"
    test -n "$info" || printf 'version %s\\n' "$(docker --version 2>/dev/null | head -n 1)"
    printf 'info %s\\n' "$info"
fi
"""
# Labels of containers that others may have made, in the order in which they are printed.
REPORTED_LABELS = (DIGEST_LABEL, CREDENTIALS_LABEL)
_LABELS = "".join(f'|{{{{.Label "{label}"}}}}' for label in REPORTED_LABELS)
# Prints all objects with a name of ours as JSON, and the files that containers read. Containers of
# others are reported with their labels only, as their environment may hold secrets. An engine that
# doesn't run yet has nothing. -L: our directory may be a symbolic link to another disk.
OBJECTS = f"""\
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


@dataclass(frozen=True)
class Objects:
    """The engine's objects with a name of ours.

    ``state`` has what Quaylab made. ``container_labels`` and ``volumes`` also have objects of
    others. ``published`` are the ports that our containers should publish, and ``images`` the ids
    and digests of their images by name.
    """

    state: EngineState
    container_labels: Mapping[str, Mapping[str, str]]
    volumes: tuple[FoundVolume, ...]
    published: frozenset[int]
    images: Mapping[str, tuple[str, ...]]


def objects(output: Sequence[str]) -> Objects:
    """Parse the output of :data:`OBJECTS`; lines of other kinds are ignored.

    Raises:
        ValueError: it can't be read.
    """
    values: dict[str, list[str]] = {}
    for line in output:
        kind, rest = split_first(line)
        # For a missing object the client prints an empty line.
        if rest:
            values.setdefault(kind, []).append(rest)
    found = [json.loads(text) for text in values.get("object", [])]
    # The kinds of objects have different keys: an image has no Name, a network no Config.
    containers = [each for each in found if "HostConfig" in each]
    networks = [each for each in found if "IPAM" in each]
    images = [each for each in found if "RepoTags" in each]
    # Older engines match a filter anywhere in a name.
    volumes = [each for each in found if "Mountpoint" in each and each["Name"].startswith(PREFIX)]
    tags = {tag: each for each in images for tag in each["RepoTags"] or []}
    state = EngineState(
        {each["Name"].lstrip("/"): _container(each, tags) for each in containers},
        {each["Name"]: each["Id"] for each in networks},
        tuple(each["Name"] for each in volumes if DATA_LABEL in (each["Labels"] or {})),
        dict(_file(line) for line in values.get("file", [])),
        network_is_internal=any(each["Internal"] for each in networks),
    )
    named = [line.split("|") for line in values.get("named", [])]
    return Objects(
        state,
        {
            name: {key: value for key, value in zip(REPORTED_LABELS, labels, strict=True) if value}
            for name, *labels in named
            if name.startswith(PREFIX)
        },
        tuple(
            _volume(each, values.get("missing", []), values.get("empty", [])) for each in volumes
        ),
        frozenset(port for each in containers for port in _published(each)),
        {tag: (each["Id"], *(each["RepoDigests"] or ())) for tag, each in tags.items()},
    )


def _volume(item: dict[str, Any], missing: list[str], empty: list[str]) -> FoundVolume:
    name = item["Name"]
    return FoundVolume(
        name,
        item["Labels"] or {},
        device=(item.get("Options") or {}).get("device"),
        missing=name in missing,
        empty=name in empty,
    )


def _published(item: dict[str, Any]) -> list[int]:
    """Return the ports that a container should publish, even if it restarts at the moment."""
    bindings = item["HostConfig"].get("PortBindings") or {}
    is_up = item["State"]["Status"] in ("running", "restarting", "paused")
    return [
        int(bound["HostPort"]) for outside in bindings.values() for bound in outside or [] if is_up
    ]


def split_first(line: str) -> tuple[str, str]:
    """Return the first word of a line, and the rest."""
    first, _, rest = line.partition(" ")
    return first, rest


def _variables(environment: list[str] | None) -> dict[str, str]:
    pairs = (each.partition("=") for each in environment or [])
    return {name: value for name, _, value in pairs}


def _file(line: str) -> tuple[str, WrittenFile]:
    """Parse ``TIME SHA256  PATH``; sha256sum puts two blanks between its columns."""
    at, sha256, path = line.split(maxsplit=2)
    return path, WrittenFile(sha256, float(at))


def _container(item: dict[str, Any], tags: Mapping[str, dict[str, Any]]) -> ContainerState:
    """Parse a container's JSON.

    Args:
        tags: the images' JSON by image name.
    """
    reference = item["Config"]["Image"]
    image = tags.get(reference)
    image_was_retagged = image is not None and image["Id"] != item["Image"]
    labels = item["Config"].get("Labels") or {}
    bindings = item["HostConfig"].get("PortBindings") or {}
    health = item["State"].get("Health")
    return ContainerState(
        id=item["Id"],
        image=reference,
        image_was_retagged=image_was_retagged,
        digest=labels.get(DIGEST_LABEL, ""),
        version=labels.get(VERSION_LABEL, ""),
        state=item["State"]["Status"],
        health=health["Status"] if health else None,
        started=_seconds(item["State"]["StartedAt"]),
        command=tuple(item["Config"].get("Cmd") or ()),
        environment=_variables(item["Config"].get("Env")),
        # After a retagging this is another image's, which doesn't matter.
        image_environment=_variables(image["Config"].get("Env")) if image else None,
        restart_policy=item["HostConfig"]["RestartPolicy"]["Name"],
        networks={
            name: network["NetworkID"]
            for name, network in item["NetworkSettings"]["Networks"].items()
        },
        ports=frozenset(
            str(
                PublishedPort(
                    int(inside.partition("/")[0]), int(bound["HostPort"]), bound["HostIp"]
                )
            )
            for inside, outside in bindings.items()
            for bound in outside or []
        ),
        mounts={
            mount["Destination"]: mount.get("Name") or mount["Source"] for mount in item["Mounts"]
        },
        cpu_shares=item["HostConfig"].get("CpuShares") or 0,
    )


def _seconds(timestamp: str) -> float:
    """Parse RFC 3339 with nanoseconds; Python 3.10 reads six digits only."""
    moment, _, fraction = timestamp.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()
    return seconds + float(f"0.{fraction or 0}")

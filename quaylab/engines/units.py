"""A container's unit for Quadlet, Podman's generator of systemd's services.

The unit's keys are those of Podman 4.9 (podman-systemd.unit(5)): with a key that the generator
doesn't know there is no service at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from quaylab.images import full_name
from quaylab.model import (
    CREDENTIALS_LABEL,
    DIGEST_LABEL,
    NETWORK,
    RESTART_POLICY,
    VERSION_LABEL,
    Container,
    Mount,
)

# Where the generator looks for an administrator's units.
FOLDER = "/etc/containers/systemd"
# Where it puts the services that it makes.
SERVICES = "/run/systemd/generator"
# Begins the last line of a unit: by it a run sees whether somebody else has written the file.
CHECKSUM = "# sha256 of the lines above: "
# Seconds before systemd starts a container again that has ended, and what it grants a stop beyond
# the container's own time.
RESTART_PAUSE, STOP_MARGIN = 2, 30
SPECIAL = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "%": "%%", "$": "$$"}


def path(name: str) -> str:
    """Return the path of a container's unit."""
    return f"{FOLDER}/{name}.container"


def service(name: str) -> str:
    """Return the name of a container's service."""
    return f"{name}.service"


def service_path(name: str) -> str:
    """Return the path of the service that the generator makes of a container's unit."""
    return f"{SERVICES}/{service(name)}"


def drop_in_folders(name: str) -> list[str]:
    """Return the folders beside a container's unit from which Podman 5 adds to it, the last one for
    it alone (podman-systemd.unit(5))."""
    parts = name.split("-")
    shared = ["-".join(parts[:count]) + "-.container.d" for count in range(1, len(parts))]
    return ["container.d", *shared, f"{name}.container.d"]


def sha256(container: Container) -> str:
    """Return the checksum of a container's unit."""
    return _sha256(unit(container))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def unit(container: Container) -> str:
    """Return a container's unit; nothing in it is secret."""
    sections = {
        "Unit": [
            f"Description={container.name}",
            "Wants=network-online.target",
            "After=network-online.target",
            # A container that keeps exiting never ends in `failed`.
            "StartLimitIntervalSec=0",
        ],
        "Container": [*_container(container)],
        "Service": [
            f"Restart={RESTART_POLICY}",
            f"RestartSec={RESTART_PAUSE}",
            "TimeoutStartSec=300",
            f"TimeoutStopSec={container.stop_timeout + STOP_MARGIN}",
        ],
        "Install": ["WantedBy=multi-user.target"],
    }
    parts = ("\n".join([f"[{name}]", *lines]) for name, lines in sections.items())
    text = "# Quaylab writes this file in each run.\n" + "\n\n".join(parts) + "\n"
    return f"{text}{CHECKSUM}{_sha256(text)}\n"


def _container(container: Container) -> Iterator[str]:
    yield f"ContainerName={container.name}"
    yield f"Image={full_name(container.image)}"
    yield "Pull=never"
    yield f"Network={'host' if container.host_network else NETWORK}"
    labels = {
        DIGEST_LABEL: container.digest,
        VERSION_LABEL: container.version,
        CREDENTIALS_LABEL: container.owner,
    }
    for name, value in labels.items():
        yield f"Label={word(f'{name}={value}')}"
    if container.user:
        yield f"User={container.user}"
    for capability in container.capabilities:
        yield f"AddCapability={capability}"
    for device in container.devices:
        yield f"AddDevice={device}"
    for port in container.ports:
        yield f"PublishPort={port}"
    for mount in container.mounts:
        yield f"Volume={bind(mount)}"
    for name, value in container.environment:
        yield f"Environment={word(f'{name}={value}')}"
    # What has no key in Podman 4.9. The key HealthCmd= loses a quote at its end until 5.8.1.
    arguments = [
        f"--stop-timeout={container.stop_timeout}",
        "--log-driver=journald",
        "--http-proxy=false",
    ]
    if container.privileged:
        arguments.append("--privileged")
    if container.seccomp_unconfined:
        arguments.append("--security-opt=seccomp=unconfined")
    if container.unlimited_tasks:
        arguments.append("--pids-limit=-1")
    if container.health:
        arguments += [
            f"--health-cmd={container.health}",
            f"--health-interval={container.health_interval}s",
        ]
    yield f"PodmanArgs={words(arguments)}"
    if container.command:
        yield f"Exec={words(container.command)}"


def bind(mount: Mount) -> str:
    """Return a mount as Podman is to be given it.

    With z the engine labels the content for containers if SELinux enforces. It does so at each
    start of a container, file by file, so only for what has a path, our own small folders and the
    files of OSDs: volumes have their labels by themselves.
    """
    options = ["ro"] if mount.read_only else []
    if mount.source.startswith("/"):
        options.append("z")
    return ":".join([mount.source, mount.target, *([",".join(options)] if options else [])])


def word(text: str) -> str:
    """Return a text as one word of a unit's value, in which systemd expands nothing."""
    return '"' + "".join(SPECIAL.get(character, character) for character in text) + '"'


def words(texts: Iterable[str]) -> str:
    return " ".join(map(word, texts))

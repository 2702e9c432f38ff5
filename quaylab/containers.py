"""Containers as engine-neutral specifications, and the command line that makes one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

# The label that marks a container as ours and says what it was made from.
DIGEST_LABEL = "io.quaylab.specification"
# Whose a container or a volume is: the fingerprint of the credentials that made it.
CREDENTIALS_LABEL = "io.quaylab.credentials"
VERSION_LABEL = "io.quaylab.version"
NETWORK = "quaylab"
RESTART_POLICY = "always"
# Whose a container is and how often the engine asks for its health: neither makes it another one,
# so what runs since before is not replaced.
NOT_IN_THE_DIGEST = {"owner", "health_interval"}


@dataclass(frozen=True)
class PublishedPort:
    """``container`` (port inside) as ``address``:``host`` outside."""

    container: int
    host: int
    address: str

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host}:{self.container}"


@dataclass(frozen=True)
class Mount:
    """A volume's name or a host directory at ``target``."""

    source: str
    target: str
    read_only: bool = False

    def __str__(self) -> str:
        # z: where SELinux enforces, the engine labels the content for containers; else no effect.
        return f"{self.source}:{self.target}:{'ro,z' if self.read_only else 'z'}"


@dataclass(frozen=True)
class Container:
    """All that makes one container.

    ``files`` are the sha256 of the mounted configuration files by path, so that a changed file
    is a changed container. ``owner`` is the fingerprint of the registry's credentials, ``health`` a
    shell command run inside; ``stop_timeout`` and ``health_interval`` are in seconds.
    """

    name: str
    image: str
    version: str
    owner: str
    health: str
    ports: tuple[PublishedPort, ...]
    mounts: tuple[Mount, ...]
    files: tuple[tuple[str, str], ...]
    log_size: str
    log_files: int
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    stop_timeout: int = 30
    health_interval: int = 10
    privileged: bool = False
    devices: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The same for the same container, over every run and machine, whosever it is."""
        specified = {k: v for k, v in asdict(self).items() if k not in NOT_IN_THE_DIGEST}
        canonical = json.dumps(specified, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def run_arguments(self) -> list[str]:
        """The arguments of ``docker run``; nothing in them is secret."""
        arguments = [
            "--detach",
            f"--name={self.name}",
            f"--network={NETWORK}",
            f"--restart={RESTART_POLICY}",
            f"--stop-timeout={self.stop_timeout}",
            f"--label={DIGEST_LABEL}={self.digest}",
            f"--label={VERSION_LABEL}={self.version}",
            f"--label={CREDENTIALS_LABEL}={self.owner}",
            "--log-driver=json-file",
            f"--log-opt=max-size={self.log_size}",
            f"--log-opt=max-file={self.log_files}",
        ]
        if self.health:
            arguments += [
                f"--health-cmd={self.health}",
                f"--health-interval={self.health_interval}s",
            ]
        if self.privileged:
            arguments.append("--privileged")
        arguments += [f"--device={device}" for device in self.devices]
        arguments += [f"--publish={port}" for port in self.ports]
        arguments += [f"--volume={mount}" for mount in self.mounts]
        arguments += [f"--env={name}={value}" for name, value in self.environment]
        return [*arguments, self.image, *self.command]

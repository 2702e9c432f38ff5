"""The files by which containers get their settings and secrets."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from quaylab.model import ManagedFile, Mount
from quaylab.paths import ETC

# A file with the secrets that a container reads as it starts.
ENVIRONMENT = "environment"


def environment_file(service: str, uid: int, values: Mapping[str, str]) -> ManagedFile:
    """Return a file of shell variables that the container reads, so that neither its arguments nor
    `docker inspect` show a secret."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return ManagedFile(f"{ETC}/{service}/{ENVIRONMENT}", lines, uid=uid, mode=0o400)


def run_with_environment(command: str) -> tuple[str, ...]:
    """Return a command for a container to run, with the variables of its environment file."""
    return ("bash", "-c", f"set -a && . {ETC}/{ENVIRONMENT} && set +a && exec {command}")


def exec_with_environment(script: str) -> str:
    """Return a command for `docker exec`, with the variables of the environment file."""
    return f"bash -c {shlex.quote(with_environment(script))}"


def with_environment(script: str) -> str:
    """Return a bash script that has the variables of the environment file."""
    return f". {ETC}/{ENVIRONMENT}; {script}"


def configuration_mount(service: str) -> Mount:
    """Return the mount of a service's configuration folder in its container."""
    return Mount(f"{ETC}/{service}", ETC, read_only=True)

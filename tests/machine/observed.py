"""The state of a registry on a machine, so that two moments can be compared."""

from __future__ import annotations

import json
import shlex
from typing import Any

from operations.services.dumps import SCRIPT
from operations.services.quay import VERIFIED
from quaylab.model import DIGEST_LABEL
from quaylab.upgrade.dumps import DIRECTORY
from tests.machine.machines import Shell

# The packaged image of each service.
IMAGE_OF = {"database": "postgresql", "redis": "redis", "quay": "quay"}
# /etc/quaylab, with files that a killed run may leave there, and the other paths that runs write.
FOLDERS = (
    "/etc/quaylab /etc/docker/certs.d /etc/containers/certs.d /etc/containers/systemd "
    "/var/lib/quaylab /etc/hosts"
)
# A run that can't know that a killed one has migrated makes one more dump, to be safe.
DUMPS = f"-path '{DIRECTORY}*' -o -path {SCRIPT}"
ROWS = (
    "SELECT name, kind FROM account ORDER BY 1",
    # A deleted one keeps a row under another name, as in Quay; each verification leaves one.
    "SELECT namespace, name FROM repository WHERE NOT is_deleted ORDER BY 1, 2",
    "SELECT tag.name, digest FROM tag JOIN repository ON repository.id = tag.repository"
    " WHERE NOT is_deleted ORDER BY 1",
    "SELECT version_num FROM alembic_version",
    "SELECT extname FROM pg_extension ORDER BY 1",
    "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = 'quay'",
)


def containers(machine: Shell) -> dict[str, Any]:
    """Return what the engine says of all containers, by name."""
    engine = machine.engine
    inspect = f"xargs --no-run-if-empty {engine} inspect"
    listed = machine.run(f"{engine} ps --all --quiet | {inspect}").stdout
    return {item["Name"].lstrip("/"): item for item in json.loads(listed or "[]")}


def rows(machine: Shell) -> list[str]:
    """Return users, repositories, tags, schema, extensions and the role's rights, as text."""
    asked = " ".join(f'-c "{query}"' for query in ROWS)
    client = machine.engine
    return machine.run(f"{client} exec quaylab-database psql -d quay -tA {asked}").stdout.split()


def redis(engine: str, command: str) -> str:
    """Return the shell command that asks Redis, with its password."""
    script = f'. /etc/quaylab/environment; printf "AUTH $REDIS_PASSWORD\\n{command}\\n" | redis-cli'
    return f"{engine} exec quaylab-redis bash -c {shlex.quote(script)}"


def end_state(machine: Shell) -> dict[str, object]:
    """Return all that two runs of the same lab must leave equal, on one machine or on two."""
    engine = machine.engine
    files = machine.run(
        f"find {FOLDERS} \\( {DUMPS} \\) -o -printf '%p %y %u %g %m ' "
        # This file names the verified container, which differs after each replacement.
        f"\\( -type f ! -path {VERIFIED} -exec sha256sum {{}} \\; -o -printf '\\n' \\)",
        # A folder of the other engine is missing.
        check=False,
    ).stdout
    volumes = machine.run(
        f"{engine} volume ls --quiet | xargs --no-run-if-empty {engine} volume inspect "
        "--format '{{.Name}} {{json .Labels}}'"
    ).stdout
    networks = machine.run(engine + " network ls --format '{{.Name}}'").stdout
    return {
        "containers": {name: _specified(item) for name, item in containers(machine).items()},
        "volumes": sorted(line for line in volumes.splitlines() if line.startswith("quaylab")),
        "networks": sorted(networks.split()),
        "files": dict(sorted(line.split(maxsplit=1) for line in files.splitlines())),
        "rows": rows(machine),
    }


def _specified(item: dict[str, Any]) -> dict[str, object]:
    return {
        "specification": item["Config"]["Labels"][DIGEST_LABEL],
        "image": item["Image"],
        "state": item["State"]["Status"],
        "restart": item["HostConfig"]["RestartPolicy"],
        "ports": item["HostConfig"]["PortBindings"],
        # Podman also lists anonymous volumes, whose names are 64 digits.
        "mounts": sorted(
            bind for bind in item["HostConfig"]["Binds"] if len(bind.partition(":")[0]) != 64
        ),
        "networks": sorted(item["NetworkSettings"]["Networks"]),
        # Podman tells each container its id.
        "environment": sorted(
            each for each in item["Config"]["Env"] if not each.startswith("HOSTNAME=")
        ),
    }

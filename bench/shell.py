"""The first run as a hand-written shell script, over one SSH connection.

It starts the same containers with the same options on the same files and waits for the same health
checks. But it checks nothing and repairs nothing, and it would fail if it ran twice.
"""

from __future__ import annotations

import base64
import json
import shlex

from quaylab.engines import DOCKER
from quaylab.model import NETWORK, Container, ManagedFile
from quaylab.plan import Plan
from quaylab.services.base import Workload
from quaylab.services.quay import HTTPS_PORT
from tests.machine.machines import Machine, Operator, run

PREAMBLE = """set -eu
put() {
    mkdir -p "$(dirname "$1")"
    (umask 077; base64 -d >"$1")
    chown "$2" "$1"
    chmod "$3" "$1"
}
wait_for() { until docker exec "$1" sh -c "$2" >/dev/null 2>&1; do sleep 0.5; done; }
"""


def script(plan: Plan) -> str:
    """Return the script for a registry on one host, in the order of deploy.py."""
    first_quay = plan.topology.first_quay
    database, redis, quay = plan.workloads_of(first_quay)
    hosts_line = shlex.quote(
        f"{plan.address_of_registry(first_quay)} {plan.topology.hostname} # quaylab"
    )
    lines = [PREAMBLE, f"echo {hosts_line} >>/etc/hosts", f"docker network create {NETWORK}"]
    if plan.certificate.ca:
        lines.append(_put(ManagedFile(plan.topology.docker_trust, plan.certificate.ca)))
    name = plan.settings.database_name
    extension = shlex.quote(f"psql --dbname={name} --command='CREATE EXTENSION pg_trgm'")
    mounts = " ".join(f"--volume={DOCKER.bind(mount)}" for mount in quay.container.mounts)
    lines += [
        *_start(database),
        f"docker exec {database.container.name} bash -c {extension}",
        *_start(redis),
        *_network_and_volume(quay),
        f"docker run --rm --network={NETWORK} {mounts} {quay.image.reference} migrate head",
        *_run_container(quay.container),
        _first_user(plan, quay.container),
    ]
    return "\n".join(lines) + "\n"


def execute(operator: Operator, machine: Machine, text: str) -> None:
    """Run a script as root over a new connection of OpenSSH."""
    run(
        *("ssh", "-F", "none", "-i", str(operator.key)),
        *("-o", f"UserKnownHostsFile={operator.known_hosts}", f"admin@{machine.address}"),
        *("sudo", "sh", "-s"),
        input=text,
    )


def _start(workload: Workload) -> list[str]:
    return [*_network_and_volume(workload), *_run_container(workload.container)]


def _network_and_volume(workload: Workload) -> list[str]:
    lines = [_put(file) for file in workload.files]
    if workload.volume:
        labels = shlex.join(
            f"--label={key}={value}" for key, value in workload.volume.labels.items()
        )
        lines.append(f"docker volume create {labels} {workload.volume.name}")
    return lines


def _run_container(container: Container) -> list[str]:
    return [
        f"docker run {shlex.join(DOCKER.run_arguments(container))}",
        f"wait_for {container.name} {shlex.quote(container.health)}",
    ]


def _put(file: ManagedFile) -> str:
    content = base64.encodebytes(file.content.encode()).decode()
    return f"put {file.path} {file.uid}:{file.gid} {file.mode:o} <<'END'\n{content}END"


def _first_user(plan: Plan, container: Container) -> str:
    user = {
        "username": plan.settings.quay_superuser,
        "password": plan.credentials.superuser_password.get_secret_value(),
        "email": plan.settings.quay_superuser_email,
        "access_token": True,
    }
    return (
        f"docker exec --interactive {container.name} curl --fail --silent --insecure "
        "--header 'Content-Type: application/json' --data @- "
        f"https://127.0.0.1:{HTTPS_PORT}/api/v1/user/initialize <<'END'\n{json.dumps(user)}\nEND"
    )

"""The same state kept by Ansible, tuned with pipelining, lasting connections and forks."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bench.site import Lab, virtual_environment
from quaylab.engines import DOCKER
from quaylab.model import (
    DIGEST_LABEL,
    NETWORK,
    RESTART_POLICY,
    VERSION_LABEL,
    Container,
    ManagedFile,
    container_name,
)
from quaylab.plan import Plan
from tests.machine.machines import run

PLAYBOOK = Path(__file__).parent / "playbook.yml"


@dataclass(frozen=True)
class Ansible:
    """An installation in a virtual environment."""

    folder: Path

    @classmethod
    def install(cls, folder: Path) -> Ansible:
        """Install Ansible with its collections."""
        virtual_environment(folder, "ansible")
        return cls(folder)

    @property
    def version(self) -> str:
        output = run(str(self.folder / "venv/bin/ansible"), "--version").stdout
        found = re.search(r"core (\S+)\]", output)
        return f"ansible-core {found.group(1)}" if found else output.splitlines()[0]

    def inventory(self, lab: Lab) -> Path:
        """Write an inventory of a lab's machines with the wanted state of each; return its path."""
        for machine in lab.machines:
            # What community.docker needs on a host.
            machine.run(
                "python3 -c 'import requests' 2>/dev/null || { apt-get update -qq && "
                "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-requests; }"
            )
        plan = lab.plan
        topology = plan.topology
        parts = {"database": topology.database.hosts, "redis": topology.redis.hosts}
        members = {**parts, "quay": topology.quay, "engine": topology.engine_hosts()}
        hosts = {
            machine.name: {"ansible_host": machine.address, **_state(plan, machine.name)}
            for machine in lab.machines
        }
        common = {
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(lab.operator.key),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={lab.operator.known_hosts}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        children: dict[str, Any] = {
            name: {"hosts": {host: {} for host in group if host}} for name, group in members.items()
        }
        path = self.folder / f"{lab.deployment.inventory.parent.parent.name}-hosts.json"
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": common, "children": children}}))
        return path

    def run_without_changes(self, inventory: Path) -> None:
        """Run the playbook, and fail if it changes anything."""
        done = subprocess.run(
            [self.folder / "venv/bin/ansible-playbook", "--inventory", inventory, PLAYBOOK],
            env={
                **os.environ,
                "HOME": str(self.folder),
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_FORKS": "10",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        changes = re.findall(r"changed=(\d+)", done.stdout)
        assert done.returncode == 0 and set(changes) == {"0"}, done.stdout + done.stderr


def _state(plan: Plan, host: str) -> dict[str, Any]:
    """Return the variables of one host; a host without a service has none."""
    workloads = plan.workloads_of(host)
    if not workloads:
        return {}
    topology = plan.topology
    files = [file for workload in workloads for file in workload.files]
    if plan.certificate.ca:
        files.append(ManagedFile(topology.docker_trust, plan.certificate.ca))
    quay = plan.workload("quay", topology.first_quay)
    mounts = " ".join(f"--volume={DOCKER.bind(mount)}" for mount in quay.container.mounts)
    return {
        "hosts_line": f"{plan.address_of_registry(host)} {topology.hostname} # quaylab",
        "directories": sorted({str(PurePosixPath(file.path).parent) for file in files}),
        "files": [
            {
                "path": file.path,
                "content": file.content,
                "uid": str(file.uid),
                "mode": f"{file.mode:04o}",
            }
            for file in files
        ],
        "network": NETWORK,
        "volumes": [
            {"name": workload.volume.name, "labels": workload.volume.labels}
            for workload in workloads
            if workload.volume
        ],
        "containers": [_container(workload.container) for workload in workloads],
        "database_container": container_name("database"),
        "quay_container": quay.container.name,
        "migrate": f"docker run --rm --network={NETWORK} {mounts} {quay.image.reference} "
        "migrate head",
        "url": topology.url,
        "ca": topology.docker_trust,
        "first_user": {
            "username": plan.settings.quay_superuser,
            "password": plan.credentials.superuser_password.get_secret_value(),
            "email": plan.settings.quay_superuser_email,
            "access_token": True,
        },
    }


def _container(container: Container) -> dict[str, Any]:
    """Return a container as arguments of community.docker.docker_container."""
    return {
        "name": container.name,
        "image": container.image,
        "state": "healthy",
        "pull": "never",
        "command": list(container.command),
        "env": dict(container.environment),
        "networks": [{"name": NETWORK}],
        "restart_policy": RESTART_POLICY,
        "stop_timeout": container.stop_timeout,
        "labels": {DIGEST_LABEL: container.digest, VERSION_LABEL: container.version},
        "log_driver": "json-file",
        "log_options": {"max-size": container.log_size, "max-file": str(container.log_files)},
        "healthcheck": {"test": container.health, "interval": f"{container.health_interval}s"},
        "published_ports": [str(port) for port in container.ports],
        "volumes": [DOCKER.bind(mount) for mount in container.mounts],
    }

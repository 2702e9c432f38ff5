"""Small valid values of each kind, of which each test changes what it needs."""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from quaylab import topology
from quaylab.hosts.machine import Machine
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials, with_missing_secrets
from quaylab.services import BY_NAME
from quaylab.services.base import Context, Workload
from quaylab.settings.loading import HostInput, HostSettings, Settings
from quaylab.topology import Topology
from tests.leaks import secrets_of

ROOT = Path(__file__).parents[2]
GROUP_DATA = ROOT / "group_data" / "all.py"
PARTS = ("quay", "database", "redis")

DEFAULTS: dict[str, Any] = {
    key: value
    for key, value in runpy.run_path(str(GROUP_DATA)).items()
    if key in Settings.model_fields or key in HostSettings.model_fields
}
HOST_DEFAULTS = {key: DEFAULTS.pop(key) for key in HostSettings.model_fields}

CREDENTIALS = Credentials(
    identity="0123456789abcdef",
    database_password=SecretStr("database-password"),
    redis_password=SecretStr("redis-password"),
    superuser_password=SecretStr("superuser-password"),
    database_secret_key=SecretStr("database-secret-key"),
    secret_key=SecretStr("secret-key"),
)
SECRETS = secrets_of(CREDENTIALS)

MACHINE = Machine(
    uid=0,
    os_id="debian",
    os_version="13",
    os_like=(),
    architecture="x86_64",
    cpus=4,
    memory_mb=7950,
    systemd=True,
    addresses=("192.168.254.10",),
    engine=None,
    volumes=(),
)


def settings(**changes: Any) -> Settings:
    """Return the defaults of group_data/all.py with some changes."""
    return Settings.model_validate({**DEFAULTS, **changes})


def host(name: str, groups: Iterable[str] = PARTS, **data: Any) -> HostInput:
    """Return a host with all services, or in the given groups."""
    return HostInput(name, tuple(groups), {**DEFAULTS, **HOST_DEFAULTS, **data})


def host_settings(host: HostInput) -> HostSettings:
    """Return the settings in a host's data that are not run-wide."""
    return HostSettings.model_validate({key: host.data[key] for key in HOST_DEFAULTS})


def machine(**changes: Any) -> Machine:
    """Return a bare Debian host with 8 GB, with some changes."""
    return dataclasses.replace(MACHINE, **changes)


def build(
    hosts: list[HostInput], reported: Mapping[str, tuple[str, ...]] | None = None, **changes: Any
) -> Topology:
    """Return the topology of hosts, each with the `address` from its data."""
    per_host = {each.name: host_settings(each) for each in hosts}
    return topology.build(settings(**changes), hosts, per_host, reported or {})


def one_host(**changes: Any) -> Topology:
    """Return the topology of all services on one host with a full name."""
    return build([host("quay.example.com")], **changes)


def certified(hostname: str = "quay.example.com") -> Credentials:
    """Return the credentials with a CA and a certificate."""
    return certificates.with_server_certificate(CREDENTIALS, hostname)


def with_storage_keys(credentials: Credentials) -> Credentials:
    """Return the credentials with the keys of our own object store."""
    return with_missing_secrets(credentials, ("storage_access_key", "storage_secret_key"))


def with_swift_password(credentials: Credentials) -> Credentials:
    """Return the credentials with a password for Swift in our own Ceph."""
    return with_missing_secrets(credentials, ("swift_password",))


def context(
    where: Topology | None = None,
    credentials: Credentials | None = None,
    memory_mb: int = 8192,
    **changes: Any,
) -> Context:
    """Return the context that services get in a run; by default all of them are on one host."""
    where, credentials = where or one_host(**changes), credentials or certified()
    machines = {host: machine(memory_mb=memory_mb) for host in where.engine_hosts()}
    served = certificates.server_certificate(credentials)
    return Context(settings(**changes), where, credentials, served, served, machines)


def workload(service: str, host: str = "quay.example.com", **arguments: Any) -> Workload:
    """Return a service's workload; for the arguments see :func:`context`."""
    (found,) = BY_NAME[service].workloads(context(**arguments), host)
    return found

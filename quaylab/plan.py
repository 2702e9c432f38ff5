"""The plan of a run: everything worked out, or every problem told, before a host is changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from quaylab import (
    blobs,
    ceph,
    certificates,
    checks,
    object_storage,
    parts,
    preconditions,
    quay_config,
    service_tls,
    topology,
    upgrades,
    versions,
)
from quaylab.certificates import ServerCertificate
from quaylab.credentials import (
    GIVEN,
    STORAGE,
    Credentials,
    Store,
    given_by,
    rotated,
    with_storage_keys,
    with_swift_password,
)
from quaylab.dumps import Upgrade
from quaylab.machine import Machine
from quaylab.parts import Part, Volume
from quaylab.problems import Problems, refuse
from quaylab.settings import HostInput, HostSettings, Settings, load
from quaylab.sql import Login
from quaylab.topology import LOOPBACK, Topology


@dataclass(frozen=True)
class Plan:
    """What is to be. ``machines`` has the hosts that this run is connected to, and ``quay`` the
    part as it runs on those of them that play it, with workers fitted to their memory. ``ceph`` is
    a cluster in one container, None without one."""

    settings: Settings
    topology: Topology
    credentials: Credentials
    store: Store
    certificate: ServerCertificate
    machines: Mapping[str, Machine]
    database: Part
    redis: Part
    quay: Mapping[str, Part]
    ceph: Part | None = None
    # Only where a database elsewhere lacks something, and for this run.
    administrator: Login | None = None

    @property
    def version(self) -> str:
        return versions.quay_version(self.settings)

    @property
    def schema(self) -> str | None:
        """The leader's note of the database's schema; None without one, or without the data."""
        leader = self.machines.get(self.topology.leader)
        home = self.machines.get(self.topology.database.host or "")
        name = self.database.container.name
        if home and not home.hides_data and name not in {each.name for each in home.volumes}:
            return None
        return leader.schema if leader else None

    @property
    def migrates(self) -> bool:
        """Whether this run brings the database's schema to its version."""
        took_part = self.topology.leader in self.machines
        return took_part and not versions.is_legacy(self.version) and self.schema != self.version

    @property
    def upgrade(self) -> Upgrade:
        """From the schema that there is to the version of this run."""
        engine, credentials = self.settings.database_engine, self.credentials.fingerprint
        return Upgrade(self.schema, self.version, engine, credentials)

    @property
    def standin(self) -> bool:
        """Whether Quay's place is taken by the stand-in."""
        return self.settings.image_source == "packages"

    @property
    def purges(self) -> bool:
        """Whether teardown removes the data too; ``purge`` was checked to name this registry."""
        return self.settings.purge is not None

    @property
    def registries(self) -> tuple[str, ...]:
        """The registries that images are pulled from."""
        parts = (self.ceph, self.database, self.redis, *self.quay.values())
        images = [part.image for part in parts if part]
        pulled = [image.reference for image in images if image.source == "registry"]
        return tuple(sorted({reference.partition("/")[0] for reference in pulled}))

    def address_of_quay(self, host: str) -> str:
        """Where the registry's name leads to on a host, if DNS doesn't say."""
        return LOOPBACK if host == self.topology.leader else self.topology.quay_address

    @property
    def ceph_admin(self) -> str | None:
        """The host where Ceph's commands are; None without a Ceph of ours."""
        return next(iter(self.topology.ceph), None)

    @property
    def ceph_shell(self) -> tuple[str, ...]:
        """What runs a command of Ceph's on that host."""
        assert self.ceph  # else there is no such host
        return ("docker", "exec", "--interactive", self.ceph.container.name)

    def parts_of(self, host: str) -> tuple[Part, ...]:
        """The parts that a connected host runs, in the order they are started."""
        found = []
        if self.ceph and host in self.topology.ceph:
            found.append(self.ceph)
        if host == self.topology.database.host:
            found.append(self.database)
        if host == self.topology.redis.host:
            found.append(self.redis)
        if host in self.topology.quay:
            found.append(self.quay[host])
        return tuple(found)

    def was_deployed(self, host: str) -> bool:
        """Whether a host had data of ours as the run began."""
        there = {volume.name for volume in self.machines[host].volumes}
        return not there.isdisjoint(self.volumes_of(host))

    def volumes_of(self, host: str) -> dict[str, Volume]:
        return {part.volume.name: part.volume for part in self.parts_of(host) if part.volume}


def make(
    hosts: list[HostInput],
    machines: Mapping[str, Machine],
    store: Store | None = None,
    exclusive: bool = False,
    ask: Callable[[str], str] | None = None,
    rotate: bool = False,
    demand: bool = True,
) -> Plan:
    """The plan for an inventory's hosts.

    Args:
        machines: what each connected host reports.
        store: where the credentials are; by default ``credentials/LAB_NAME.yaml``.
        ask: how to ask at a terminal for what can't be made.
        exclusive: hold the credentials for this process, so that no two runs work at once.
        demand: refuse a run without the passwords of services that run elsewhere.
        rotate: take new passwords for what runs here.

    Raises:
        Refusal: all problems found, each by its setting.
    """
    settings, own = load(hosts)
    store = store or Store(settings.lab_name)
    if exclusive:
        store.lock()
    problems = Problems(versions.problems(settings) + _file_problems(settings))
    problems += object_storage.problems(settings, topology.storage_kind(settings, hosts))
    problems += service_tls.problems(settings)
    for name, machine in machines.items():
        problems += checks.machine_problems(name, machine)
    where = credentials = None
    with problems.collecting():
        where = _topology(settings, own, hosts, machines)
    with problems.collecting():
        credentials = _credentials(settings, store, ask, rotate, demand, hosts)
    if where and settings.tls_certificate and settings.tls_key:
        problems += certificates.check(settings.tls_certificate, settings.tls_key, where.hostname)
    if where and credentials:
        problems += quay_config.problems(settings, where, credentials)
    refuse(problems)
    assert where and credentials  # else there was a problem
    return _assemble(settings, where, credentials, store, machines)


def refuse_unfit(plan: Plan) -> None:
    """Stop if a host can't do its part, or bears data that this run doesn't fit.

    Raises:
        Refusal: too small, a port taken, a clock out of step; or engine, store or credentials
            changed under existing data.
    """
    problems = foreign_data(plan)
    leader = plan.machines.get(plan.topology.leader)
    problems += blobs.problems(plan.settings, plan.topology, plan.credentials, leader, plan.store)
    if not problems:
        # Of data that isn't ours the schema says nothing.
        problems += upgrades.problems(plan.settings, plan.topology, plan.schema, plan.machines)
    for name, machine in plan.machines.items():
        problems += preconditions.problems(
            name, machine, plan.settings, plan.topology, plan.parts_of(name)
        )
    refuse(problems)


def foreign_data(plan: Plan) -> list[str]:
    """Data on the hosts that is of another engine, store or registry than the plan's."""
    problems: list[str] = []
    for name, machine in plan.machines.items():
        problems += checks.data_problems(name, machine, plan.volumes_of(name), plan.store)
    return problems


def _topology(
    settings: Settings,
    own: Mapping[str, HostSettings],
    hosts: list[HostInput],
    machines: Mapping[str, Machine],
) -> Topology:
    reported = {name: machine.addresses for name, machine in machines.items()}
    where = topology.build(settings, hosts, own, reported)
    if settings.purge not in (None, where.hostname):
        refuse([f"purge: {settings.purge!r} is not this registry's name, {where.hostname}"])
    return where


def _credentials(
    settings: Settings,
    store: Store,
    ask: Callable[[str], str] | None,
    rotate: bool,
    demand: bool,
    hosts: list[HostInput],
) -> Credentials:
    kind = topology.storage_kind(settings, hosts)
    makes_store = kind == "radosgw" and settings.storage_host is None
    foreign = {
        "database_password": settings.database_host,
        "redis_password": settings.redis_host,
    }
    elsewhere = [key for key, host in foreign.items() if host]
    # An administrator sets the role's password, so it can be made here.
    unknown = [
        key for key in elsewhere if key != "database_password" or not settings.database_admin
    ]
    needs_keys = kind != "local" and not settings.storage_iam_role
    if needs_keys and not makes_store:
        unknown += STORAGE
    credentials = store.load(foreign=unknown if demand else (), ask=ask)
    if needs_keys and makes_store:
        credentials = with_storage_keys(credentials)
        if settings.ceph_swift:
            credentials = with_swift_password(credentials)
    if rotate:
        refuse(_rotation_problems(store))
        mine = [key for key in GIVEN if key not in elsewhere]
        mine += ["storage_secret_key"] if needs_keys and makes_store else []
        mine += ["swift_password"] if credentials.swift_password else []
        credentials = rotated(credentials, mine)
    return credentials


def _assemble(
    settings: Settings,
    where: Topology,
    credentials: Credentials,
    store: Store,
    machines: Mapping[str, Machine],
) -> Plan:
    if settings.tls_certificate and settings.tls_key:
        served = ServerCertificate(
            settings.tls_certificate.read_text(),
            SecretStr(settings.tls_key.read_text()),
            None,
        )
    else:
        credentials = certificates.own_authority(credentials, where.hostname)
        served = certificates.own(credentials)
    if where.ceph and settings.storage_tls:
        credentials = certificates.with_ceph(credentials, where.hostname, [*where.ceph.values()])
    return Plan(
        settings,
        where,
        credentials,
        store,
        served,
        machines,
        database=parts.database(settings, where, credentials),
        redis=parts.redis(settings, where, credentials),
        quay={
            name: parts.quay(settings, where, credentials, served, machines[name].memory_mb)
            for name in where.quay
            if name in machines
        },
        ceph=ceph.part(settings, where, credentials) if len(where.ceph) == 1 else None,
    )


def _rotation_problems(store: Store) -> list[str]:
    problems = [
        f"{variable}: is set, and would come before the rotated password; unset it"
        for variable in given_by(os.environ).values()
    ]
    if not store.exists:
        problems.append(f"{store.path}: is not there, so there is nothing to rotate; deploy first")
    return problems


def _file_problems(settings: Settings) -> list[str]:
    """Settings that only go together, and files of the wrong kind."""
    problems = []
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        missing = "tls_key" if settings.tls_certificate else "tls_certificate"
        problems.append(f"{missing}: not set; a certificate and its key go together")
    if (settings.image_source == "archive") != (settings.image_archive is not None):
        problems.append(
            "image_archive: set it together with image_source=archive, and only with that"
        )
    for key in ("company_ca", "storage_ca"):
        file = getattr(settings, key)
        if file and not certificates.is_certificate(file):
            problems.append(f"{key}: {file} is no PEM certificate")
    if settings.pull_secret and not _has_logins(settings.pull_secret):
        problems.append(f"pull_secret: {settings.pull_secret} is no config.json with logins")
    return problems


def _has_logins(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text())["auths"], dict)
    except (ValueError, LookupError, TypeError):
        return False

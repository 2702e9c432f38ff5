"""The plan of a run: everything worked out, or every problem told, before a host is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from quaylab import topology, versions
from quaylab.checks import (
    blob_location,
    directories,
    existing_data,
    fetched_images,
    given_files,
    host_reports,
    lost_data,
    ownership,
    preconditions,
)
from quaylab.checks.fetched_images import ImageState
from quaylab.database_login import Login
from quaylab.engines import docker
from quaylab.hosts import storage, storage_problems, subscription
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.hosts.storage import Storage
from quaylab.images import Image
from quaylab.model import LOOPBACK, Volume
from quaylab.problems import Problems, refuse
from quaylab.secrets import certificates, needed
from quaylab.secrets.certificates import ServerCertificate
from quaylab.secrets.credentials import Credentials, Store
from quaylab.services import BY_NAME, SERVICES, ceph, cephadm, quay_config
from quaylab.services.base import Context, Port, Workload
from quaylab.settings.loading import HostInput, HostSettings, Settings, load
from quaylab.topology import Topology
from quaylab.upgrade import schema_version
from quaylab.upgrade.dumps import Upgrade


@dataclass(frozen=True)
class Plan:
    """What is to be. ``machines`` has the hosts that this run is connected to, and ``workloads``
    what runs on each of them, in the order in which it starts; ``storages`` are the file systems
    of hosts that give disks to them."""

    settings: Settings
    topology: Topology
    credentials: Credentials
    store: Store
    certificate: ServerCertificate
    machines: Mapping[str, Machine]
    workloads: Mapping[str, tuple[Workload, ...]]
    storages: Mapping[str, tuple[Storage, ...]]
    # Only where a database elsewhere lacks something, and for this run.
    administrator: Login | None = None

    @property
    def context(self) -> Context:
        """What the services are told of the run."""
        return Context(
            self.settings, self.topology, self.credentials, self.certificate, self.machines
        )

    @property
    def version(self) -> str:
        return versions.quay_version(self.settings)

    @property
    def schema(self) -> str | None:
        """The leader's note of the database's schema; None without one."""
        leader = self.machines.get(self.topology.leader)
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
        images = [image for host in self.machines for image in self.images_of(host)]
        pulled = [image.reference for image in images if image.source == "registry"]
        return tuple(sorted({reference.partition("/")[0] for reference in pulled}))

    def address_of_quay(self, host: str) -> str:
        """Where the registry's name leads to on a host, if DNS doesn't say."""
        return LOOPBACK if host == self.topology.leader else self.topology.quay_address

    @property
    def ceph_admin(self) -> str | None:
        """The host where Ceph's commands are; None without a Ceph of ours."""
        return next(iter(self.topology.hosts["ceph"]), None)

    @property
    def ceph_shell(self) -> tuple[str, ...]:
        """What runs a command of Ceph's on that host."""
        if ceph.runs_in_container(self.topology.hosts["ceph"]):
            return docker.execute_words(ceph.CONTAINER)
        return ("cephadm", "--image", self.settings.ceph_image, "shell", "--")

    def workload(self, service: str, host: str) -> Workload:
        """A service's container on a connected host that runs it."""
        (found,) = (each for each in self.workloads[host] if each.service == service)
        return found

    def workloads_of(self, host: str) -> tuple[Workload, ...]:
        """The containers that a connected host runs, in the order in which they start."""
        return self.workloads.get(host, ())

    def ports_of(self, host: str) -> tuple[tuple[str, Port], ...]:
        """The ports at which a connected host's services listen, with the services' names."""
        return tuple(
            (name, port)
            for name, hosts in self.topology.hosts.items()
            if host in hosts
            for port in BY_NAME[name].ports(self.context, host)
        )

    @property
    def connected_hosts(self) -> dict[str, Machine]:
        """The hosts with an engine that this run is connected to."""
        hosts = self.topology.engine_hosts()
        return {name: machine for name, machine in self.machines.items() if name in hosts}

    def images_of(self, host: str) -> tuple[Image, ...]:
        """The images that a connected host's containers are made from."""
        return tuple(
            image
            for name, hosts in self.topology.hosts.items()
            if host in hosts
            for image in BY_NAME[name].images(self.context, host)
        )

    def was_deployed(self, host: str) -> bool:
        """Whether a host had data of ours as the run began."""
        there = {volume.name for volume in self.machines[host].volumes}
        return not there.isdisjoint(self.volumes_of(host))

    def volumes_of(self, host: str) -> dict[str, Volume]:
        """The volumes that a connected host is to have, by name."""
        volumes = [workload.volume for workload in self.workloads_of(host)]
        return {volume.name: volume for volume in volumes if volume}


def make(
    hosts: list[HostInput],
    machines: Mapping[str, Machine],
    store: Store | None = None,
    ask: Callable[[str], str] | None = None,
    rotate: bool = False,
    requires_all: bool = True,
) -> Plan:
    """The plan for an inventory's hosts.

    Args:
        machines: what each connected host reports.
        store: where the credentials are; by default ``credentials/LAB_NAME.yaml``.
        ask: how to ask at a terminal for what can't be made.
        rotate: take new passwords for what runs here.
        requires_all: refuse a run without the passwords of services that run elsewhere.

    Raises:
        Refusal: all problems found, each by its setting.
    """
    settings, own = load(hosts)
    settings = storage.with_quays_path(settings, own.values())
    store = store or Store(settings.lab_name)
    groups = topology.groups(hosts)
    problems = Problems(given_files.problems(settings))
    for service in SERVICES:
        problems += service.setting_problems(settings, groups)
    problems += directories.problems(settings)
    problems += subscription.settings_problems(settings)
    for host in hosts:
        if machine := machines.get(host.name):
            problems += host_reports.machine_problems(host.name, machine)
            if "hypervisor" not in host.groups:  # it runs VMs, and no container
                problems += host_reports.engine_problems(host.name, machine)
    where = credentials = None
    with problems.collecting():
        where = _topology(settings, own, hosts, machines)
    with problems.collecting():
        credentials = needed.load(settings, store, groups, ask, rotate, requires_all)
    if where and credentials and store.replaces_passwords(credentials):
        # A password of the database's that Quay is not told locks it out.
        problems += host_reports.absent_problems("new passwords", where.engine_hosts(), machines)
    if where and settings.tls_certificate and settings.tls_key:
        problems += certificates.check(settings.tls_certificate, settings.tls_key, where.hostname)
    if where and credentials:
        problems += quay_config.problems(settings, where, credentials)
    refuse(problems)
    assert where and credentials  # else there was a problem
    return _assemble(settings, own, where, credentials, store, machines)


def refuse_unfit(
    plan: Plan,
    disks: Mapping[str, Disks] | None = None,
    images: Mapping[str, Mapping[str, ImageState]] | None = None,
) -> None:
    """Stop if a host can't do its part, or bears data that this run doesn't fit.

    Args:
        disks: what each connected host that has storages reports of its disks.
        images: the images that each connected host has of those that it needs, by name.

    Raises:
        Refusal: too small, a port taken, a clock out of step, a disk in use; an image that is
            another than before; or engine, store or credentials changed under existing data.
    """
    problems = foreign_data(plan)
    leader = plan.machines.get(plan.topology.leader)
    problems += blob_location.problems(plan.settings, plan.topology, leader)
    if not problems:
        # Of data that isn't ours the schema says nothing.
        problems += schema_version.problems(
            plan.settings, plan.topology, plan.schema, plan.machines
        )
    for service in SERVICES:
        problems += service.problems(plan.context)
    for name, machine in plan.machines.items():
        wanted = plan.storages.get(name, ())
        if not (disks and name in disks and storage.unmounted(disks[name], wanted)):
            problems += lost_data.problems(name, plan.machines, plan.topology, plan.volumes_of)
        if disks and name in disks:
            problems += storage_problems.problems(name, machine, disks[name], wanted)
            machine = replace(machine, free_mb=storage.free_mb(machine, disks[name], wanted))
        problems += preconditions.problems(
            name, machine, plan.settings, plan.workloads_of(name), plan.ports_of(name)
        )
    for name, found in (images or {}).items():
        problems += fetched_images.problems(name, found)
    refuse(problems)


def refuse_teardown(plan: Plan) -> None:
    """Stop if a host bears what another registry has made, or doesn't tell what it bears.

    Raises:
        Refusal: whose it is, or which engine does not answer.
    """
    problems: list[str] = []
    for name, machine in plan.connected_hosts.items():
        problems += ownership.problems(name, machine, plan.credentials, plan.store)
        if machine.hides_data:
            problems.append(
                f"{name}: its engine does not answer, so what it holds would stay; start it, and "
                "run again"
            )
    refuse(problems)


def foreign_data(plan: Plan) -> list[str]:
    """What on the hosts is of another engine, store or registry than the plan's."""
    problems: list[str] = []
    for name, machine in plan.connected_hosts.items():
        problems += ownership.problems(name, machine, plan.credentials, plan.store)
        problems += existing_data.container_problems(name, machine, plan.workloads_of(name))
        problems += existing_data.data_problems(name, machine, plan.volumes_of(name))
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


def _assemble(
    settings: Settings,
    own: Mapping[str, HostSettings],
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
    ceph_hosts = where.hosts["ceph"]
    if ceph_hosts and not ceph.runs_in_container(ceph_hosts):
        credentials = cephadm.with_ssh_key(credentials)
    if ceph_hosts and settings.storage_tls:
        addresses = [where.addresses[host] for host in ceph_hosts]
        credentials = certificates.with_ceph(credentials, where.hostname, addresses)
    context = Context(settings, where, credentials, served, machines)
    return Plan(
        settings,
        where,
        credentials,
        store,
        served,
        machines,
        workloads={
            host: tuple(
                workload
                for service in SERVICES
                if host in where.hosts[service.name]
                for workload in service.workloads(context, host)
            )
            for host in where.engine_hosts()
            if host in machines
        },
        storages={
            name: found
            for name in where.engine_hosts()
            if (found := storage.wanted(own[name], settings, name in where.quay))
        },
    )

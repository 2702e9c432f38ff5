"""The plan of a run: complete, or refused with all problems, before a host is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import SecretStr

from quaylab import engines, topology, versions
from quaylab.checks import (
    blob_location,
    database_location,
    directories,
    engine_choice,
    existing_data,
    fetched_images,
    fips,
    given_files,
    host_reports,
    lost_data,
    ownership,
    preconditions,
)
from quaylab.checks.fetched_images import ImageState
from quaylab.database_login import Login
from quaylab.engines import ContainerEngine
from quaylab.hosts import storage, storage_problems, subscription
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.hosts.storage import Storage
from quaylab.images import Image
from quaylab.model import LOOPBACK, Volume
from quaylab.openshift import layout as layout_of_clusters
from quaylab.paths import DATABASE_NOTE
from quaylab.problems import Problems, refuse
from quaylab.secrets import certificates, needed
from quaylab.secrets.certificates import ServerCertificate
from quaylab.secrets.credentials import Credentials, Store
from quaylab.services import BY_NAME, SERVICES, quay_config
from quaylab.services.base import Context, Port, Workload
from quaylab.services.quay import STORAGE_VOLUME
from quaylab.services.quay_nodes import Node, nodes
from quaylab.settings.loading import HostInput, HostSettings, Settings, load
from quaylab.settings.types import is_ip_address
from quaylab.topology import Topology
from quaylab.upgrade import schema_version
from quaylab.upgrade.dumps import Upgrade


@dataclass(frozen=True)
class Plan(Context):
    """The desired state of all hosts.

    Attributes:
        store: the credentials file.
        workloads: each host's containers, in the order in which they start.
        storages: each host's file systems on dedicated disks.
        administrator: only for this run, and only if an external database has to be prepared.
    """

    store: Store
    workloads: Mapping[str, tuple[Workload, ...]]
    storages: Mapping[str, tuple[Storage, ...]]
    administrator: Login | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Quay's containers on all hosts."""
        return nodes(self.settings, self.topology)

    @property
    def version(self) -> str:
        return versions.quay_version(self.settings)

    @property
    def schema(self) -> str | None:
        """What the connected Quay hosts noted of the database's schema or, if these are new, those
        that had Quay before; None without a note."""
        for hosts in (self.connected(self.topology.quay), self.former_quays):
            if noted := schema_version.latest(self.machines[name].schema for name in hosts):
                return noted
        return None

    @property
    def former_quays(self) -> tuple[str, ...]:
        """The connected hosts that have left the group `quay` with notes of its data."""
        return ownership.former_quays(self.topology, self.machines, self.credentials.fingerprint)

    def own_containers(self, host: str) -> frozenset[str]:
        """Return the names of this registry's containers that a connected host had when the run
        began, also of stopped ones."""
        return ownership.own_containers(self.machines[host], self.credentials.fingerprint)

    @property
    def host_with_storage_note(self) -> str | None:
        """A connected host that notes where the blobs are; else one of Quay's, None without any."""
        hosts = (*self.connected(self.topology.quay), *self.former_quays)
        noting = (name for name in hosts if self.machines[name].storage)
        return next(noting, next(iter(hosts), None))

    @property
    def migrates(self) -> bool:
        """Whether this run migrates the database's schema."""
        takes_part = self.topology.first_quay in self.machines
        return takes_part and not versions.is_legacy(self.version) and self.schema != self.version

    @property
    def upgrade(self) -> Upgrade:
        """The upgrade from the present schema, or from the one before an unfinished migration, to
        the version of this run."""
        begun = schema_version.unfinished_migration(self.schema)
        before = begun[0] if begun else self.schema
        engine, credentials = self.settings.database_engine, self.credentials.fingerprint
        quays = self.connected(self.topology.quay)
        since = max((self.machines[name].schema_time for name in quays), default=0)
        return Upgrade(before, self.version, engine, credentials, since, begun is not None)

    @property
    def has_standin(self) -> bool:
        """Whether the stand-in runs in place of Quay."""
        return self.settings.uses_packages

    @property
    def purges(self) -> bool:
        """Whether teardown removes the data too; ``purge`` was checked to name this registry."""
        return self.settings.purge is not None

    @property
    def registries(self) -> tuple[str, ...]:
        """The registries that images are pulled from."""
        images = [image for host in self.machines for image in self.images_of(host)]
        pulled = [
            reference
            for image in images
            if image.source == "registry"
            # What is built on top of others, is built from those in its arguments.
            for reference in (
                dict(image.arguments).values() if image.context else [image.reference]
            )
        ]
        return tuple(sorted({reference.partition("/")[0] for reference in pulled}))

    def address_of_registry(self, host: str) -> str | None:
        """Return the address of the registry's name on a host, in case DNS doesn't know it; None:
        only DNS knows it."""
        topology = self.topology
        fronts = topology.balancers if self.is_balanced else (topology.first_quay,)
        if host in fronts:
            return LOOPBACK
        return topology.front if is_ip_address(topology.front) else None

    def vrrp_peers(self, host: str) -> tuple[str, ...]:
        """Return the addresses of the balancers that share a virtual address with a host."""
        balancers = self.topology.balancers if self.settings.virtual_address else ()
        return tuple(
            self.topology.addresses[each]
            for each in balancers
            if host in balancers and each != host
        )

    def workload(self, service: str, host: str) -> Workload:
        """Return a service's only workload on a connected host that runs it."""
        (found,) = self.workloads_for(service, host)
        return found

    def workloads_for(self, service: str, host: str) -> tuple[Workload, ...]:
        """Return a service's workloads on a host, none if the run isn't connected to it."""
        return tuple(each for each in self.workloads_of(host) if each.service == service)

    def workloads_of(self, host: str) -> tuple[Workload, ...]:
        """Return the workloads of a connected host, in the order in which they start."""
        return self.workloads.get(host, ())

    def ports_of(self, host: str) -> tuple[tuple[str, Port], ...]:
        """Return the services' names and the ports at which they listen on a connected host."""
        return tuple(
            (name, port)
            for name, hosts in self.topology.hosts.items()
            if host in hosts
            for port in BY_NAME[name].ports(self, host)
        )

    def engine_of(self, host: str) -> ContainerEngine:
        """Return the container engine of a connected host."""
        return engines.BY_NAME[self.machines[host].container_engine]

    @property
    def engine_machines(self) -> dict[str, Machine]:
        """The reports of the connected hosts that need an engine."""
        hosts = self.topology.engine_hosts()
        return {name: machine for name, machine in self.machines.items() if name in hosts}

    def images_of(self, host: str) -> tuple[Image, ...]:
        """Return the images that a connected host's containers are made from."""
        return tuple(
            image
            for name, hosts in self.topology.hosts.items()
            if host in hosts
            for image in self.images_for(name, host)
        )

    def images_for(self, service: str, host: str) -> tuple[Image, ...]:
        """Return a service's images on one of its hosts, each after the one it is built on."""
        return BY_NAME[service].images(self, host)

    def was_deployed(self, host: str) -> bool:
        """Whether a host had data of ours when the run began."""
        existing = {volume.name for volume in self.machines[host].volumes}
        return not existing.isdisjoint(self.volumes_of(host))

    def volumes_of(self, host: str) -> dict[str, Volume]:
        """Return the volumes that a connected host should have, by name."""
        volumes = [workload.volume for workload in self.workloads_of(host)]
        return {volume.name: volume for volume in volumes if volume}


def make(
    hosts: list[HostInput],
    machines: Mapping[str, Machine],
    store: Store | None = None,
    ask: Callable[[str], str] | None = None,
    rotate: bool = False,
    deploys: bool = True,
    moves_engine: bool = False,
) -> Plan:
    """Make the plan for an inventory's hosts.

    Args:
        machines: what each connected host reports.
        store: the credentials file; by default ``credentials/LAB_NAME.yaml``.
        ask: asks at a terminal for secrets that can't be generated.
        rotate: replace the passwords of the services that Quaylab runs.
        deploys: refuse what a deploy can't work with: missing passwords of external services, and
            an own certificate that clients would not accept.
        moves_engine: the hosts use the engines that have their data, and ``container_engine`` is
            the one to move it to.

    Raises:
        Refusal: all problems found, each by its setting.
    """
    settings, host_settings = load(hosts)
    settings = storage.with_quay_storage_path(settings, host_settings.values())
    store = store or Store(settings.lab_name)
    groups = topology.groups(hosts)
    used = engine_choice.source if moves_engine else engine_choice.choose
    machines = {
        name: machine.using(used(machine, settings).name) for name, machine in machines.items()
    }
    problems = Problems(given_files.problems(settings))
    for service in SERVICES:
        problems += service.setting_problems(settings, groups)
    problems += directories.problems(settings)
    problems += subscription.settings_problems(settings)
    for host in hosts:
        if machine := machines.get(host.name):
            problems += _host_problems(host, machine, settings, moves_engine)
    layout = credentials = None
    with problems.collecting():
        layout = _topology(settings, host_settings, hosts, machines)
    with problems.collecting():
        credentials = needed.load(settings, store, groups, ask, rotate, deploys)
    if layout and credentials and store.replaces_passwords(credentials):
        # Quay can't log in to the database if only one of the two gets the new password.
        problems += host_reports.absent_problems("new passwords", layout.engine_hosts(), machines)
    if deploys and layout and settings.tls_certificate and settings.tls_key:
        unusable = certificates.check(settings.tls_certificate, settings.tls_key, layout.hostname)
        problems += unusable or fips.problems(settings.tls_certificate, machines.values())
    if layout and credentials:
        problems += quay_config.problems(settings, layout, credentials)
    refuse(problems)
    assert layout and credentials  # else there was a problem
    return _assemble(settings, host_settings, layout, credentials, store, machines, deploys)


def _host_problems(
    host: HostInput, machine: Machine, settings: Settings, moves_engine: bool
) -> Iterator[str]:
    """Yield why a connected host can't do what its groups ask of it."""
    if layout_of_clusters.GROUP in host.groups:  # it only asks the cluster
        return
    yield from host_reports.machine_problems(host.name, machine)
    if "hypervisor" in host.groups:  # it runs VMs and no containers
        return
    yield from host_reports.engine_problems(host.name, machine)
    if moves_engine:
        yield from engine_choice.move_problems(host.name, machine, settings)
    else:
        yield from engine_choice.problems(host.name, machine)


def refuse_unfit(
    plan: Plan,
    disks: Mapping[str, Disks] | None = None,
    images: Mapping[str, Mapping[str, ImageState]] | None = None,
    moves_blobs: bool = False,
) -> None:
    """Stop if a host doesn't meet the requirements, or has data that this run doesn't match.

    Args:
        disks: the disks of each connected host that has storages.
        images: of the images that a connected host needs, those that it has, by host and name.
        moves_blobs: whether this run moves the blobs to the store of the settings.

    Raises:
        Refusal: a host is too small, a port is taken, a clock differs, a disk is in use, an image
            has changed; or engine, store or credentials don't match the existing data.
    """
    problems = foreign_data(plan)
    if moves_blobs:
        problems += _move_problems(plan)
    else:
        noting = plan.host_with_storage_note
        quay = plan.machines[noting] if noting else None
        problems += blob_location.problems(
            plan.settings, plan.topology, plan.credentials, quay, noting
        )
    if not problems:
        # If the data isn't ours, its schema is of no interest.
        problems += schema_version.problems(
            plan.settings, plan.topology, plan.schema, plan.machines
        )
        quays = plan.connected(plan.topology.quay)
        knowing = [name for name in quays if plan.machines[name].database] or plan.former_quays
        problems += database_location.problems(
            database_location.location(plan.settings, plan.topology),
            {f"{DATABASE_NOTE} on {name}": plan.machines[name].database for name in knowing},
        )
    for service in SERVICES:
        problems += service.problems(plan)
    for name, machine in plan.machines.items():
        wanted = plan.storages.get(name, ())
        if not (disks and name in disks and storage.has_unmounted(disks[name], wanted)):
            problems += lost_data.problems(name, plan.machines, plan.topology, plan.volumes_of)
        if disks and name in disks:
            problems += storage_problems.problems(name, machine, disks[name], wanted)
            machine = replace(machine, free_mb=storage.free_mb(machine, disks[name], wanted))
        problems += preconditions.problems(
            name, machine, plan.settings, plan.workloads_of(name), plan.ports_of(name)
        )
    for name, found in (images or {}).items():
        problems += fetched_images.problems(name, found, plan.engine_of(name))
    refuse(problems)


def refuse_teardown(plan: Plan) -> None:
    """Stop if a host has data or containers of another registry, or can't report what it has. A
    purge also needs the engine that the data was moved away from.

    Raises:
        Refusal: with the owner, or the host whose engine does not answer or is not installed.
    """
    problems: list[str] = []
    if plan.purges or plan.settings.purge_engine:
        for name, machine in plan.machines.items():
            problems += engine_choice.purge_problems(name, machine)
    for name, machine in plan.engine_machines.items():
        problems += ownership.problems(name, machine, plan.credentials, plan.store)
        if machine.hides_data:
            problems.append(
                f"{name}: its engine does not answer, so what it holds would stay; start it, and "
                "run again"
            )
        if machine.lost_its_engine:
            problems.append(
                f"{name}: it has served a registry and has no container engine, so the volumes of "
                f"that engine would stay; install {_noted_engine(plan, name).title} again, or "
                "remove everything by hand: docs/operation.md#removing-it"
            )
    refuse(problems)


def _noted_engine(plan: Plan, name: str) -> ContainerEngine:
    """Return the engine by which a host has served a registry, as its note says."""
    noted = ownership.read_note(plan.machines[name])
    return engines.BY_NAME.get(noted.engine if noted else "", plan.engine_of(name))


def foreign_data(plan: Plan) -> list[str]:
    """Return problems with existing data of another engine, store or registry than the plan's."""
    problems: list[str] = []
    for name, machine in plan.engine_machines.items():
        problems += ownership.problems(name, machine, plan.credentials, plan.store)
        problems += existing_data.container_problems(name, machine, plan.workloads_of(name))
        problems += existing_data.data_problems(name, machine, plan.volumes_of(name))
    return problems


def _move_problems(plan: Plan) -> Iterator[str]:
    quay = plan.machines.get(plan.topology.first_quay)
    is_ours = quay is not None and any(
        volume.name == STORAGE_VOLUME
        and not (volume.missing or lost_data.is_lost(volume, may_be_empty=True))
        for volume in quay.owned_volumes(plan.credentials.fingerprint)
    )
    return blob_location.move_problems(plan.settings, plan.topology, quay, is_ours)


def _topology(
    settings: Settings,
    host_settings: Mapping[str, HostSettings],
    hosts: list[HostInput],
    machines: Mapping[str, Machine],
) -> Topology:
    """Return which host or pod runs what, and at which address.

    Raises:
        Refusal: the groups or addresses don't fit together, or ``purge`` names another registry.
    """
    # The address that moves between balancers, now or before this run, is none of a host's own.
    moving = {
        network.partition("/")[0]
        for machine in machines.values()
        for _, network in machine.networks
        if network.endswith("/32")
    }
    reported = {
        name: tuple(each for each in machine.addresses if each not in moving) or machine.addresses
        for name, machine in machines.items()
    }
    if any(layout_of_clusters.GROUP in host.groups for host in hosts):
        layout = layout_of_clusters.build(settings, topology.groups(hosts), hosts)
    else:
        layout = topology.build(settings, hosts, host_settings, reported)
    refuse(topology.purge_problems(settings.purge, layout.hostname))
    return layout


def _assemble(
    settings: Settings,
    host_settings: Mapping[str, HostSettings],
    layout: Topology,
    credentials: Credentials,
    store: Store,
    machines: Mapping[str, Machine],
    deploys: bool,
) -> Plan:
    given = None
    if settings.tls_certificate and settings.tls_key:
        # A deploy has refused what is no text; a teardown, for example, needs none of it.
        given = ServerCertificate(
            settings.tls_certificate.read_text(errors="replace"),
            SecretStr(settings.tls_key.read_text(errors="replace")),
            None,
        )
    stored, needs_own = credentials, not given or bool(layout.balancers)
    if needs_own:
        credentials = certificates.with_server_certificate(credentials, layout.hostname)
    with_keys = _with_keys(credentials, settings, layout)
    if with_keys.ca_certificate != credentials.ca_certificate:
        # A service has made a new CA, which signs the certificates of those before it as well.
        with_keys = _with_keys(with_keys, settings, layout)
    credentials = with_keys
    served = credentials
    if not deploys:
        # It meets the certificates that are served, also those that are due.
        served = stored if stored.certificate else credentials
        credentials = stored if _has_all(stored, credentials) else credentials
    if given and not needs_own:
        certificate = node_certificate = given
    else:
        node_certificate = certificates.server_certificate(served)
        certificate = given or node_certificate
    plan = Plan(
        settings,
        layout,
        credentials,
        certificate,
        node_certificate,
        machines,
        store,
        workloads={},
        storages={
            name: found
            for name in layout.engine_hosts()
            if (found := storage.storages_of(host_settings[name], settings, name in layout.quay))
        },
    )
    workloads = {
        host: tuple(
            workload
            for service in SERVICES
            if host in layout.hosts[service.name]
            for workload in service.workloads(plan, host)
        )
        for host in plan.connected(layout.engine_hosts())
    }
    return replace(plan, workloads=workloads)


def _with_keys(credentials: Credentials, settings: Settings, layout: Topology) -> Credentials:
    for service in SERVICES:
        credentials = service.with_keys(credentials, settings, layout)
    return credentials


def _has_all(stored: Credentials, made: Credentials) -> bool:
    """Whether stored credentials lack nothing that was made, but the CA's key, which only signs."""
    keys = Credentials.model_fields.keys() - {"ca_key"}
    return all(getattr(made, key) is None or getattr(stored, key) is not None for key in keys)

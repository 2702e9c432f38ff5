"""A Ceph cluster of several hosts, as specifications for cephadm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from quaylab.engines import DOCKER, PODMAN
from quaylab.model import ManagedFile, container_name
from quaylab.paths import CEPH_NOTE, ETC
from quaylab.scripts.ceph_report import AUTOTUNE, CERTIFICATE, MEMORY, service
from quaylab.services import object_store

if TYPE_CHECKING:
    from quaylab.hosts.machine import Machine
    from quaylab.secrets.credentials import Credentials
    from quaylab.services.base import Context
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

DIRECTORY = f"{ETC}/cephadm"
CONFIGURATION = f"{DIRECTORY}/ceph.conf"
KEY = f"{DIRECTORY}/ssh_key"
PUBLIC_KEY = f"{KEY}.pub"
SERVICE = "quaylab"
# The container, and the volume, of a whole cluster on one host.
ONE_HOST = container_name("ceph")
# The gateways' name for Ceph.
GATEWAYS = f"rgw.{SERVICE}"
# What cephadm needs on a host besides its engine: LVM, a synchronised clock, and with Podman the
# first process of its containers, which Debian's package of Podman only recommends.
PACKAGES = ("cephadm", "lvm2", "chrony", "catatonit")
# States of placement groups with a copy that differs from the others, or can't be read.
DAMAGED = {"inconsistent", "failed_repair"}
# A rule of fapolicyd, before those of its own that deny: the program's name and content are known
# only once it is there, so it can't be trusted as a file before (fapolicyd.rules(5)).
ALLOW_PROGRAM = (
    "echo 'allow perm=any uid=0 : dir=/var/lib/ceph/' >/etc/fapolicyd/rules.d/35-cephadm.rules && "
    "fagenrules --load"
)
Specification = dict[str, Any]


def with_ssh_key(credentials: Credentials) -> Credentials:
    """Return credentials with the SSH key by which the cluster's manager reaches its hosts."""
    if credentials.ceph_ssh_key:
        return credentials
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return credentials.model_copy(update={"ceph_ssh_key": SecretStr(private.decode())})


def public_key(credentials: Credentials) -> str:
    """Return the line for authorized_keys."""
    assert credentials.ceph_ssh_key  # made with the plan
    text = credentials.ceph_ssh_key.get_secret_value().encode()
    key = serialization.load_ssh_private_key(text, password=None).public_key()
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{line.decode()} quaylab-ceph"


def files(settings: Settings, credentials: Credentials) -> tuple[ManagedFile, ...]:
    """Return the files from which the first host bootstraps the cluster."""
    assert credentials.ceph_ssh_key
    conf = "[global]\n"
    if settings.image_source != "registry":
        # An image from no registry has no repository digest.
        conf += "[mgr]\nmgr/cephadm/use_repo_digest = false\n"
    return (
        ManagedFile(CONFIGURATION, conf, mode=0o400),
        ManagedFile(KEY, credentials.ceph_ssh_key.get_secret_value(), mode=0o400),
        ManagedFile(PUBLIC_KEY, f"{public_key(credentials)}\n", mode=0o400),
    )


def bootstrap(settings: Settings, fsid: str, address: str) -> tuple[str, ...]:
    """Return the command that bootstraps the cluster on the first host.

    Args:
        fsid: the cluster's id.
    """
    return (
        *("cephadm", "--image", settings.ceph_image, "bootstrap"),
        *("--fsid", fsid, "--mon-ip", address, "--config", CONFIGURATION),
        *("--ssh-private-key", KEY, "--ssh-public-key", PUBLIC_KEY),
        # The images are there already. Specifications place the daemons.
        *("--skip-pull", "--skip-dashboard", "--skip-monitoring-stack", "--skip-firewalld"),
        *("--orphan-initial-daemons", "--allow-fqdn-hostname", "--allow-overwrite"),
    )


def specifications(
    settings: Settings,
    topology: Topology,
    credentials: Credentials,
    machines: Mapping[str, Machine],
) -> list[Specification]:
    """Return the specifications of hosts and services. Ceph knows hosts by their own hostnames."""
    members = topology.hosts["ceph"]
    names = [machines[host].hostname for host in members]
    hosts = [
        {"service_type": "host", "hostname": name, "addr": topology.addresses[host]}
        for name, host in zip(names, members, strict=True)
    ]
    devices = settings.ceph_osd_devices
    gateway: dict[str, Any] = {"rgw_frontend_port": object_store.gateway_port(settings)}
    if settings.storage_tls:
        assert credentials.ceph_certificate and credentials.ceph_certificate_key
        key = credentials.ceph_certificate_key.get_secret_value()
        gateway |= {"ssl": True, CERTIFICATE: key + credentials.ceph_certificate}
    return [
        *hosts,
        # An odd number, as a majority decides.
        {"service_type": "mon", "placement": {"hosts": names[: 5 if len(names) >= 5 else 3]}},
        {"service_type": "mgr", "placement": {"hosts": names[:2]}},
        {
            "service_type": "osd",
            "service_id": SERVICE,
            "placement": {"hosts": names},
            "spec": {"data_devices": {"paths": list(devices)} if devices else {"all": True}},
        },
        {
            "service_type": "rgw",
            "service_id": SERVICE,
            "placement": {"hosts": names},
            "spec": gateway,
        },
    ]


def render(specifications: Iterable[Specification]) -> str:
    """Return what ``ceph orch apply -i -`` reads."""
    return yaml.safe_dump_all(specifications, sort_keys=False)


def names_to_apply(wanted: Sequence[Specification], found: Sequence[Specification]) -> list[str]:
    """Return the names of specifications that have to be applied: Ceph itself reports no change.

    Args:
        found: hosts and services as facts/ceph.py reports them, with digests of certificates.
    """
    known = {_name(each): each for each in found}
    return [
        _name(each)
        for each in wanted
        if not _contains(known.get(_name(each)), service(each) if "spec" in each else each)
    ]


def former_hosts(wanted: Iterable[Specification], found: Iterable[Specification]) -> list[str]:
    """Return the names of hosts that Ceph has and nobody wants any more: it keeps their OSDs."""
    names = {each["hostname"] for each in wanted if each["service_type"] == "host"}
    known = {each["hostname"] for each in found if each["service_type"] == "host"}
    return sorted(known - names)


def osd_memory_mb(settings: Settings) -> int:
    """Return the memory of an OSD; by default Ceph's own (osd_memory_target)."""
    return settings.ceph_osd_memory_mb or 4096


def memory_commands(
    settings: Settings, found: Iterable[tuple[str, str, str]]
) -> list[tuple[str, ...]]:
    """Return the commands of ``ceph`` that limit each OSD to ``ceph_osd_memory_mb``.

    The bootstrap's own configuration can't: at its end cephadm switches its autotuning on, by which
    the manager gives all OSDs of a host 70 % of the memory, as a value for the host
    (command_bootstrap in Ceph's src/cephadm, and _autotune_host_memory in its manager's module).

    Args:
        found: who, option and value, as facts/ceph.py reports them.
    """
    now = {(who, option): value for who, option, value in found}
    wanted = {
        MEMORY: str(osd_memory_mb(settings) * 1024**2),
        # Last: until then the next run knows that the hosts' values are the manager's.
        AUTOTUNE: "false",
    }
    commands: list[tuple[str, ...]] = [
        ("config", "set", "osd", option, value)
        for option, value in wanted.items()
        if now.get(("osd", option)) != value
    ]
    if now.get(("osd", AUTOTUNE)) != "false":
        commands = [
            ("config", "rm", who, option)
            for who, option in now
            if option == MEMORY and who.startswith("osd/host:")
        ] + commands
    return commands


def upgrade_command(image: str, running: str) -> tuple[str, ...] | None:
    """Return the command that brings the daemons to an image: cephadm starts new ones with the
    cluster's own, and no run changes that. None if its tag names a version that runs, or none.

    Args:
        image: a tag of it may be "v18.2.7", "v18" or "v18.2.7-20251001".
        running: the versions of the daemons, such as "18.2.7, 19.2.3" during an upgrade.
    """
    tag = re.fullmatch(r"[^@]*:v?(\d+(\.\d+)*)(-[^:]*)?", image)
    if tag is None or any(f"{each}.".startswith(f"{tag[1]}.") for each in running.split(", ")):
        return None
    return ("cephadm", "shell", "--", "ceph", "orch", "upgrade", "start", "--image", image)


def status_problems(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a cluster lacks by its ``ceph status --format=json``: monitors, OSDs, copies."""
    osds, groups = status["osdmap"], status["pgmap"]
    clean = [
        each["count"]
        for each in groups.get("pgs_by_state", [])
        if each["state_name"].startswith("active+clean")
        and DAMAGED.isdisjoint(each["state_name"].split("+"))
    ]
    counts = {
        "monitors agree": (len(status["quorum"]), status["monmap"]["num_mons"]),
        "OSDs are up": (osds["num_up_osds"], osds["num_osds"]),
        "placement groups have all copies, none of them damaged": (sum(clean), groups["num_pgs"]),
    }
    yield from (f"{n} of {total} {words}" for words, (n, total) in counts.items() if n < total)


def _name(specification: Specification) -> str:
    kind = specification.get("service_type", "host")
    name = specification.get("hostname") or specification.get("service_id")
    return f"{kind}.{name}" if name else str(kind)


def _contains(found: Any, wanted: Any) -> bool:
    """Whether ``found`` has everything that is wanted; Ceph adds keys of its own."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            _contains(found.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(found, list) and len(found) == len(wanted):
        return all(map(_contains, found, wanted))
    # `paths` come back as devices with more keys.
    if isinstance(found, Mapping) and isinstance(wanted, str):
        return bool(found.get("path") == wanted)
    return bool(found == wanted)


def has_cluster_of_one_host(machine: Machine, credentials: Credentials) -> bool:
    """Whether a host has the container of a whole cluster, or this registry's volume with one."""
    volumes = machine.owned_volumes(credentials.fingerprint)
    return ONE_HOST in machine.own_containers or any(each.name == ONE_HOST for each in volumes)


def problems(context: Context, fsid: str) -> Iterator[str]:
    """Yield why cephadm can't make a cluster of these hosts, or has made one of more than these.

    Args:
        fsid: the cluster's id.
    """
    members, machines, settings = context.topology.hosts["ceph"], context.machines, context.settings
    for host in members if len(members) == 1 else ():
        if host in machines and fsid in machines[host].ceph:
            yield (
                f"ceph: {host} is one of several hosts of this registry's Ceph cluster "
                f"(/var/lib/ceph/{fsid}), and that can't become one of a single host; put the "
                "others into group `ceph` again"
            )
    if len(members) < 3:
        return
    if settings.uses_packages:
        yield (
            "image_source: packages, but with several hosts in group `ceph` cephadm needs "
            "upstream's image, as Debian's manager can't load cephadm's module; use registry or "
            "archive, or keep one Ceph host"
        )
    if settings.ceph_data:
        yield "ceph_data: is for a single Ceph host; cephadm keeps its own place, leave it out"
    if any(not path.startswith("/dev/") for path in settings.ceph_osd_devices):
        yield "ceph_osd_devices: holds a file, and cephadm takes block devices only"
    names = [machines[host].hostname for host in members if host in machines]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"ceph: several hosts say that their name is {name}; give each its own"
    for host in members:
        if host in machines and not machines[host].systemd:
            yield f"{host}: runs no systemd, which cephadm needs"
        # On a host that has joined already it was allowed in another way.
        if host in machines and machines[host].denies_cephadm and fsid not in machines[host].ceph:
            yield (
                f"ceph: fapolicyd on {host} denies the program that cephadm's manager writes to "
                f"/var/lib/ceph and runs there; allow it: {ALLOW_PROGRAM}"
            )
    first, *others = members
    for host in members:
        if host not in machines:
            continue
        if has_cluster_of_one_host(machines[host], context.credentials):
            yield (
                f"ceph: {host} has a Ceph cluster of one host, {ONE_HOST}, and that can't become "
                "one of several: this run would put a new, empty one beside it; keep that host "
                "alone in group `ceph`, or copy the blobs to a cluster on other hosts, as in "
                "docs/ceph.md"
            )
        if fsid not in machines[host].ceph:
            podman = machines[host].engines.get(PODMAN.name)
            if machines[host].container_engine == DOCKER.name and podman and podman.engine:
                yield (
                    f"container_engine: {DOCKER.name}, but Podman is installed on {host} too, and "
                    "cephadm then uses that; remove it there, or set container_engine to "
                    f"{PODMAN.name}"
                )
            for other in sorted(machines[host].ceph):
                yield (
                    f"ceph: {host} has another cluster's data, /var/lib/ceph/{other}, whose "
                    "daemons take the same ports; take another host or, if that cluster is gone "
                    f"and its data may be lost: cephadm rm-cluster --force --fsid {other}"
                )
    if first in machines and machines[first].bootstrapped_cluster != fsid:
        if machines[first].ceph_configuration not in (None, fsid):
            yield (
                f"ceph: /etc/ceph/ceph.conf on {first} is of another cluster "
                f"({machines[first].ceph_configuration}), and a bootstrap would overwrite it and "
                "the administrator's key beside it; put another host first in group `ceph` or, if "
                "that cluster is gone, remove both"
            )
        # A new bootstrap would lose the existing cluster.
        existing = [host for host in others if host in machines and fsid in machines[host].ceph]
        if existing:
            yield (
                f"ceph: this cluster is on {', '.join(existing)} already, and did not begin on "
                f"{first}; put the host that it began on first in group `ceph` (if that is "
                f"{first}, its note is lost: write {fsid} to {CEPH_NOTE} there)"
            )

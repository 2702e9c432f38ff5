"""All objects of a registry in a cluster, in the order in which they are made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from quaylab.checks import blob_location, database_location
from quaylab.openshift import access, backing, quay
from quaylab.openshift.layout import replicas, runs_here
from quaylab.openshift.objects import (
    CONFIG_MAP,
    DEPLOYMENT,
    NAMESPACE,
    SECRET,
    Found,
    Manifest,
    Object,
    Scope,
)
from quaylab.openshift.pods import Pods
from quaylab.services import database, quay_config, redis
from quaylab.services import quay as quay_service
from quaylab.services.base import Context
from quaylab.settings.loading import Settings
from quaylab.upgrade.schema_version import migrating_note
from quaylab.versions import is_version, quay_version

# The note that this registry is here, with its schema's version and the places of its rows and its
# blobs.
NOTE = "quaylab-registry"


@dataclass(frozen=True)
class Description:
    """The objects of the template method.

    Attributes:
        foundation: secrets, claims, services and network policies.
        dump: the job before an upgrade; None: there is no upgrade, or the database runs elsewhere.
        begun: the note that the migration has begun, written before it. None: there is none, or the
            note says so already; from then on no dump is made, since the one from before is the
            only one of the old schema.
        exposure: what leads clients to Quay.
        note: written once the schema is that of this version.
    """

    namespace: Object
    foundation: tuple[Object, ...]
    database: tuple[Object, ...]
    redis: tuple[Object, ...]
    reach: Object
    dump: Object | None
    begun: Object | None
    migration: Object
    quay: tuple[Object, ...]
    exposure: tuple[Object, ...]
    note: Object

    @property
    def lasting(self) -> tuple[Object, ...]:
        """All but the namespace, the jobs and the note."""
        return (*self.foundation, *self.database, *self.redis, *self.quay, *self.exposure)

    @property
    def jobs(self) -> tuple[Object, ...]:
        return (self.reach, *([self.dump] if self.dump else []), self.migration)

    @property
    def finished(self) -> tuple[Object, ...]:
        """The jobs that stay, so that they aren't run again; that of a dump was for the migration,
        which is done."""
        return (self.reach, self.migration)

    @property
    def front(self) -> Object:
        """The object that leads clients to Quay."""
        return front(self.exposure)

    @property
    def verified(self) -> Object:
        """The object whose changes make a new verification due."""
        return next(each for each in self.quay if each.kind is DEPLOYMENT)


def describe(
    context: Context,
    scope: Scope,
    is_openshift: bool,
    schema: str | None = None,
    found: Mapping[tuple[str, str], Manifest] = {},
    evicts_unready: bool = False,
) -> Description:
    """Return the registry's objects.

    Args:
        is_openshift: whether the cluster gives pods their users and groups.
        schema: what the note says of the database's schema: its version, or which restore or
            migration has begun; None: there is no database yet.
        found: the objects that are there.
        evicts_unready: whether the cluster knows budgets that let pods go which aren't ready.
    """
    settings, topology = context.settings, context.topology
    version, pods = quay_version(settings), Pods(scope, is_openshift, bool(settings.pull_secret))
    files = quay_service.bundle(context, quay_config.build(settings, topology, context.credentials))
    has_database, has_redis = runs_here(topology, "database"), runs_here(topology, "redis")
    before = schema if schema and is_version(schema) and schema != version else None
    has_pods = replicas(settings, topology) > 1
    budget = (quay.disruption_budget(scope, evicts_unready),) if has_pods else ()
    return Description(
        Object(NAMESPACE, scope.namespace, {}, "registry"),
        tuple(_foundation(context, scope, files, has_database, has_redis, found)),
        (backing.database_deployment(context, pods),) if has_database else (),
        (backing.redis_deployment(context, pods),) if has_redis else (),
        quay.reach(context, pods, files),
        quay.dump(context, pods, before) if before and has_database else None,
        note(context, migrating_note(before, version)) if before else None,
        quay.migration(context, pods, files),
        (quay.deployment(context, pods, files), *budget),
        access.exposure(context, access.quay_backend(scope)),
        note(context, version),
    )


def front(exposure: Iterable[Object]) -> Object:
    """Return the object that leads clients to Quay, beside which there may be a Secret."""
    (found,) = [each for each in exposure if each.kind is not SECRET]
    return found


def note(context: Context, schema: str) -> Object:
    """Return the note for a schema of this version."""
    settings, topology = context.settings, context.topology
    data = {
        "schema": schema,
        "storage": blob_location.place(settings, topology),
        "database": database_location.location(settings, topology),
    }
    return Object(CONFIG_MAP, NOTE, {"data": data}, "registry")


def _foundation(
    context: Context,
    scope: Scope,
    files: dict[str, str],
    has_database: bool,
    has_redis: bool,
    found: Found,
) -> Iterator[Object]:
    settings = context.settings
    yield quay.service_account()
    if settings.pull_secret:
        yield quay.pull_secret(_needed_logins(context))
    yield quay.bundle(files)
    if has_database:
        ports = {"database": (context.topology.database.port,) * 2}
        yield backing.database_secret(context)
        yield from backing.database_objects(context, found)
        yield backing.service(scope, backing.DATABASE, "database", ports)
    if has_redis:
        yield backing.redis_secret(context)
        ports = {"redis": (context.topology.redis.port,) * 2}
        yield backing.service(scope, backing.REDIS, "redis", ports)
    if context.topology.object_store is None:
        size = settings.openshift_blobs_gb
        yield backing.claim(context, quay.BLOBS, quay.COMPONENT, size, found)
    yield access.service(scope)
    yield from access.policies(context, scope)


def logins_of(settings: Settings) -> dict[str, object]:
    """Return the logins of the image registries, from the pull secret's file."""
    if settings.pull_secret is None:
        return {}
    logins: dict[str, object] = json.loads(settings.pull_secret.read_text())["auths"]
    return logins


def registry_of(login: str) -> str:
    """Return the registry that an entry of a config.json is for: quay.io of https://quay.io/v1/. It
    may have ``*`` in it. Docker Hub's entry has the name of its index, and kubelets take it for
    images of docker.io."""
    registry = login.removeprefix("https://").partition("/")[0]
    return "docker.io" if registry == "index.docker.io" else registry


def is_login_of(login: str, registry: str) -> bool:
    """Whether an entry of a config.json is for a registry. As kubelets have it, ``*`` stands for
    characters of one label of the name (pkg/credentialprovider)."""
    wanted, labels = registry_of(login).split("."), registry.split(".")
    return len(wanted) == len(labels) and all(map(fnmatchcase, labels, wanted))


def _needed_logins(context: Context) -> dict[str, object]:
    """Return the logins of the registries that have the images: whoever may read Secrets in the
    namespace gets no others."""
    needed = registries(context)
    return {
        name: login
        for name, login in logins_of(context.settings).items()
        if any(is_login_of(name, each) for each in needed)
    }


def registries(context: Context) -> frozenset[str]:
    """Return the registries that the cluster pulls images from."""
    return frozenset(image.partition("/")[0] for image in images(context))


def images(context: Context) -> tuple[str, ...]:
    """Return the images that the cluster pulls."""
    settings, topology = context.settings, context.topology
    found = [quay_service.image(settings)]
    if runs_here(topology, "database"):
        found.append(database.image(settings))
    if runs_here(topology, "redis"):
        found.append(redis.image(settings))
    return tuple(image.reference for image in found)

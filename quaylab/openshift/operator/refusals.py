"""Why a registry can't be made by Quay's operator, or not from what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quaylab.checks import database_location
from quaylab.openshift import refusals
from quaylab.openshift.cluster import Cluster
from quaylab.openshift.layout import REGISTRY
from quaylab.openshift.objects import (
    BUCKET_CLAIM,
    CLAIM,
    CONFIG_MAP,
    OPERATOR_GROUP,
    PACKAGE,
    QUAY_REGISTRY,
    SERVICE_VERSION,
    SUBSCRIPTION,
    Manifest,
    Scope,
    key_of,
)
from quaylab.openshift.operator.description import (
    ELSEWHERE,
    MANAGED,
    OperatorDescription,
    channel,
    release,
)
from quaylab.openshift.operator.state import (
    current_version,
    installed_version,
    noted_operator,
    noted_version,
)
from quaylab.openshift.plan import VERIFIED
from quaylab.settings.loading import Settings
from quaylab.topology import Topology
from quaylab.upgrade.schema_version import MAX_MINOR_STEPS
from quaylab.versions import quay_version

PAGE = "docs/openshift-operator.md"


def early_problems(cluster: Cluster, settings: Settings, topology: Topology) -> Iterator[str]:
    """Yield which parts of the cluster's API are missing."""
    for kind in (SUBSCRIPTION, PACKAGE):
        if kind.group not in cluster.groups:
            yield (
                f"openshift_method: operator, but {cluster.server} has no {kind.group}: the "
                "Operator Lifecycle Manager, which a plain Kubernetes lacks, installs operators; "
                "have it installed, or set template"
            )
            break
    if topology.object_store is None and BUCKET_CLAIM.group not in cluster.groups:
        yield (
            "storage: not set, so the operator would make a bucket, but "
            f"{cluster.server} has no {BUCKET_CLAIM.group}: OpenShift Data Foundation, or NooBaa; "
            "have it installed, or set `storage` to an object store"
        )


def problems(
    cluster: Cluster, settings: Settings, description: OperatorDescription, owner: str
) -> Iterator[str]:
    """Yield why the operator can't make the registry, or not from what is there.

    Args:
        owner: the fingerprint of the registry's credentials.
    """
    yield from refusals.foreign_problems(cluster, owner)
    yield from refusals.ending_problems(cluster)
    yield from _olm_problems(cluster, settings)
    yield from _catalogue_problems(cluster, settings)
    yield from _data_problems(cluster, description)
    yield from _storage_class_problems(cluster, settings)
    yield from _version_problems(cluster, settings, cluster.found.get(description.note.key))


def lost_note_problems(
    cluster: Cluster, settings: Settings, description: OperatorDescription, scope: Scope
) -> Iterator[str]:
    """Yield that the note is gone without which a removal finds nothing that the operator and OLM
    have made: it bears no label of ours."""
    note = description.note
    keys = [
        (QUAY_REGISTRY.name, REGISTRY),
        (SUBSCRIPTION.name, settings.openshift_operator),
        # It stays when the registry is taken down, as the operator's data does.
        description.bundle.key,
    ]
    found = [key for key in keys if key in cluster.found]
    there = [" ".join(key) for key in (*found, *map(key_of, cluster.operators_data))]
    if there and note.key not in cluster.found:
        verb = "is" if len(there) == 1 else "are"
        command = refusals.note_command(note, note.content["data"], scope)
        yield (
            f"ConfigMap {note.name}: it is gone, and {', '.join(there)} {verb} there; make it "
            f"again if it is right, where database and blobs are: {command}"
        )


def _olm_problems(cluster: Cluster, settings: Settings) -> Iterator[str]:
    """Yield what is in the namespace that OLM would not have beside ours."""
    is_subscribed = (SUBSCRIPTION.name, settings.openshift_operator) in cluster.found
    for each in cluster.olm_objects:
        if each.kind == QUAY_REGISTRY.name:
            if each.name != REGISTRY:
                yield (
                    f"openshift_namespace: {settings.openshift_namespace} has the QuayRegistry "
                    f"{each.name}, which the operator would upgrade with this one; set another "
                    "namespace"
                )
        elif each.kind == OPERATOR_GROUP.name and each.name != REGISTRY:
            yield (
                f"openshift_namespace: {settings.openshift_namespace} has the OperatorGroup "
                f"{each.name}, and OLM takes one in a namespace; set another namespace, or remove "
                "it"
            )
        elif each.copied_from:
            yield (
                f"openshift_method: {each.name} of namespace {each.copied_from} looks after this "
                "one as well, and OLM takes no second operator for it; remove that one, or have it "
                "look after other namespaces"
            )
        elif each.kind == SERVICE_VERSION.name and not is_subscribed:
            yield (
                f"openshift_namespace: {settings.openshift_namespace} has {each.name} without a "
                "Subscription, and OLM installs no other beside it; remove it: ./lab down"
            )


def _catalogue_problems(cluster: Cluster, settings: Settings) -> Iterator[str]:
    name, catalogue = settings.openshift_operator, settings.openshift_catalogue
    wanted = channel(settings)
    found = {each.catalogue: each for each in cluster.packages}
    if not found:
        yield (
            f"openshift_operator: no catalogue has {name}; in community-operators Quay's is "
            "project-quay; `kubectl get packagemanifests` lists all"
        )
    elif catalogue not in found:
        yield (
            f"openshift_catalogue: {catalogue} has no {name}; these catalogues have it: "
            f"{', '.join(sorted(found))}"
        )
    elif wanted not in found[catalogue].channels:
        yield (
            f"quay_version: {quay_version(settings)} is of the channel {wanted}, and {name} in "
            f"{catalogue} has: {', '.join(found[catalogue].channels)}; set a version of one of "
            "these"
        )


def _data_problems(cluster: Cluster, description: OperatorDescription) -> Iterator[str]:
    """Yield what this run would have Quay look for where it is not."""
    note = cluster.found.get(description.note.key)
    if note is None:
        return
    before, now = note["data"], description.note.content["data"]
    database, storage = before.get("database"), before.get("storage")
    # Which one elsewhere, earlier notes don't say.
    if database != ELSEWHERE or now["database"] == MANAGED:
        notes = {str(description.note): database}
        yield from database_location.problems(now["database"], notes)
    if storage != now["storage"]:
        yield (
            f"storage: the registry's storage is {storage!r}, and this run would have Quay look in "
            f"{now['storage']!r}, where nothing of it is; set it back, or copy all data there and "
            f"put {now['storage']!r} into ConfigMap {description.note.name}"
        )
    if (CONFIG_MAP.name, VERIFIED) not in cluster.found:
        return
    for key, kind, is_there in (
        ("database", CLAIM, cluster.has_database_claim),
        ("storage", BUCKET_CLAIM, cluster.has_bucket_claim),
    ):
        if now[key] == MANAGED and not is_there:
            yield (
                f"{key}: the {kind.name} of the operator's {key} is gone, and with it data that "
                f"this registry had; bring it back from a backup, or remove ConfigMap {VERIFIED} "
                "if the data is to be lost"
            )


def _storage_class_problems(cluster: Cluster, settings: Settings) -> Iterator[str]:
    """Yield that the cluster has no such class, or that the database's claim has another."""
    wanted = settings.openshift_storage_class
    claims = [each for each in cluster.operators_data if each["kind"] == CLAIM.name]
    if wanted and not claims:
        yield from refusals.storage_class_problems(cluster, settings)
    for each in claims:
        present = each["spec"].get("storageClassName")
        if wanted and present != wanted:
            yield (
                f"openshift_storage_class: {wanted}, but the claim {each['metadata']['name']} is "
                f"of {present}, and no claim changes its class; set it back"
            )


def _version_problems(cluster: Cluster, settings: Settings, note: Manifest | None) -> Iterator[str]:
    """Yield why the operator can't, or should not, go to the wanted minor version."""
    subscription = cluster.found.get((SUBSCRIPTION.name, settings.openshift_operator))
    registry = cluster.found.get((QUAY_REGISTRY.name, REGISTRY))
    wanted, version = release(channel(settings)), quay_version(settings)
    noted = noted_version(note, cluster.found.get((CONFIG_MAP.name, VERIFIED)))
    of_quay, installed = current_version(registry) or noted, installed_version(subscription)
    newest = max(of_quay, installed, noted_operator(note), key=release)
    if release(newest) > wanted:
        yield (
            f"quay_version: {version}, but {newest} is there, and neither OLM nor Quay knows a way "
            f"back; set a version of {_named(release(newest))}"
        )
    if not of_quay or release(of_quay) >= wanted:
        return
    present = _plain(of_quay)
    if settings.quay_version is None:
        yield (
            f"quay_version: not set, and the registry has {present}; set it to {present} to stay "
            f"at this minor version, or to {version} to upgrade"
        )
    elif release(of_quay)[0] != wanted[0] or wanted[1] - release(of_quay)[1] > MAX_MINOR_STEPS:
        yield (
            f"quay_version: {version} is more than {MAX_MINOR_STEPS} minor versions after the "
            f"registry's {present}, and Quay upgrades over {MAX_MINOR_STEPS} at most; set one in "
            "between first"
        )
    elif settings.database_backup != present:
        yield (
            f"database_backup: an upgrade from {present} to {version} changes the database, and "
            f"neither Quaylab nor the operator dumps it; make a backup ({PAGE}), then set "
            f"database_backup to {present}"
        )


def _named(numbers: tuple[int, int]) -> str:
    return f"v{numbers[0]}.{numbers[1]}"


def _plain(version: str) -> str:
    """Return a version as settings have it: v3.18.0 of 3.18.0-1."""
    found = re.search(r"[0-9]+\.[0-9]+\.[0-9]+", version)
    return f"v{found[0]}" if found else version

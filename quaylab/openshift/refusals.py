"""Why a registry can't be made in a cluster, or not from what is there."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quaylab.checks import database_location
from quaylab.openshift import objects
from quaylab.openshift.backing import DUMPS
from quaylab.openshift.cluster import OLDEST, Cluster
from quaylab.openshift.description import (
    NOTE,
    Description,
    is_login_of,
    logins_of,
    registries,
    registry_of,
)
from quaylab.openshift.layout import REGISTRY
from quaylab.openshift.objects import Manifest, Object, Scope
from quaylab.openshift.quantities import number, text
from quaylab.openshift.quay import RESTORE, is_job
from quaylab.secrets.credentials import Credentials
from quaylab.services.base import Context
from quaylab.settings.loading import Settings


def place_problems(settings: Settings, credentials: Credentials, server: str) -> Iterator[str]:
    """Yield why this is not the place of the registry that the credentials remember.

    Args:
        server: the API server that the context leads to.
    """
    expected, remembered = settings.openshift_server, credentials.openshift_server
    before, namespace = credentials.openshift_namespace, settings.openshift_namespace
    if expected and _plain(expected) != _plain(server):
        yield (
            f"openshift_server: {expected}, but the context leads to {server}; set the context "
            "that leads there"
        )
    elif not expected and remembered and _plain(remembered) != _plain(server):
        yield (
            f"openshift_context: leads to {server}, but this registry is at {remembered}; set the "
            f"context that leads there, or confirm by openshift_server={server} that the registry "
            "has moved, or that its server has a new address"
        )
    elif not expected and before and before != namespace:
        yield (
            f"openshift_namespace: {namespace}, but this registry is in {before}; set it back, or "
            f"confirm by openshift_server={server} that the registry has moved"
        )


def _plain(url: str) -> str:
    return url.rstrip("/").lower()


def early_problems(cluster: Cluster, settings: Settings) -> Iterator[str]:
    """Yield why a cluster can't have the registry, before its objects are looked at."""
    if cluster.minor < OLDEST:
        yield (
            f"openshift_context: {cluster.server} runs Kubernetes {cluster.version}, and "
            f"1.{OLDEST} is the oldest that is supported; upgrade it, or take another cluster"
        )
    if cluster.phase not in (None, "Active"):
        yield (
            f"openshift_namespace: {settings.openshift_namespace} is being deleted; wait until it "
            "is gone, or set another"
        )
    if settings.openshift_exposure in (None, "route") and not cluster.has(objects.ROUTE):
        yield (
            f"openshift_exposure: {cluster.server} has no routes, which only OpenShift has; set "
            "ingress or loadbalancer"
        )
    if settings.openshift_exposure == "ingress" and cluster.has(objects.ROUTE):
        # It has no class, so OpenShift makes a Route of it that speaks HTTP to the port of HTTPS.
        yield (
            f"openshift_exposure: ingress, and {cluster.server} has routes; leave the setting out, "
            "so that a route leads clients to Quay, or set loadbalancer"
        )


def problems(
    cluster: Cluster, context: Context, description: Description, scope: Scope
) -> Iterator[str]:
    """Yield why the registry can't be made, or not from what is there."""
    settings = context.settings
    yield from foreign_problems(cluster, scope.owner)
    yield from ending_problems(cluster)
    yield from _note_problems(cluster, description, scope)
    yield from _storage_problems(cluster, settings, description)
    yield from _login_problems(context)
    yield from _quota_problems(cluster, description, scope)


def foreign_problems(cluster: Cluster, owner: str) -> Iterator[str]:
    """Yield the objects that have our names, and are not this registry's."""
    for (kind, name), manifest in cluster.found.items():
        if objects.owner_of(manifest) != owner:
            of = objects.owner_of(manifest)
            whose = f"belongs to the registry {of}" if of else "was not made by Quaylab"
            yield (
                f"openshift_namespace: {kind} {name} is there already and {whose}; set another "
                "namespace, or remove or rename it"
            )


def ending_problems(cluster: Cluster) -> Iterator[str]:
    """Yield what is being deleted with the registry's data. A run that ends the pods of a claim
    lets its data go."""
    claims = [each for key, each in cluster.found.items() if key[0] == objects.CLAIM.name]
    for each in filter(objects.is_ending, (*claims, *cluster.operators_data)):
        yield (
            f"{' '.join(objects.key_of(each))}: it is being deleted, and goes with its data at the "
            "latest when its pod ends; copy the data now, and see "
            "docs/openshift.md#a-claim-that-is-being-deleted"
        )
    if registry := cluster.found.get((objects.QUAY_REGISTRY.name, REGISTRY)):
        yield from ending_registry_problems(registry)


def ending_registry_problems(registry: Manifest) -> Iterator[str]:
    """Yield that a QuayRegistry is being deleted, and takes the data with it. `./lab down` has it
    deleted with the finalizer by which the data stays."""
    finalizers = registry["metadata"].get("finalizers") or []
    if objects.is_ending(registry) and objects.ORPHAN not in finalizers:
        yield (
            f"QuayRegistry {REGISTRY}: it is being deleted, and the operator's claims and buckets "
            "go with it at the latest when its finalizers are gone; copy the data now, and see "
            "docs/openshift-operator.md#a-quayregistry-that-is-being-deleted"
        )


def method_problems(cluster: Cluster, settings: Settings, owner: str) -> Iterator[str]:
    """Yield that this registry was made by the other method.

    Args:
        owner: the fingerprint of the registry's credentials.
    """
    note = cluster.found.get((objects.CONFIG_MAP.name, NOTE))
    if note is None or objects.owner_of(note) != owner:
        return
    before = note["data"].get("method", "template")
    if before != settings.openshift_method:
        yield (
            f"openshift_method: {settings.openshift_method}, but the registry in "
            f"{settings.openshift_namespace} was made with {before}; set it back, or make a new "
            "registry in another namespace and move this one there, as docs/openshift.md says"
        )


def _note_problems(cluster: Cluster, description: Description, scope: Scope) -> Iterator[str]:
    """Yield that the note is gone without which nobody knows the schema's version: the database
    would be migrated without a dump."""
    note, served = description.note, cluster.found.get(description.verified.key)
    if note.key in cluster.found or served is None:
        return
    image = served["spec"]["template"]["spec"]["containers"][0]["image"]
    literals = {**note.content["data"], "schema": image.rpartition(":")[2]}
    yield (
        f"ConfigMap {note.name}: it is gone, and Quay is there; make it again if these are right, "
        "the schema's version, the place of the blobs and the database: "
        f"{note_command(note, literals, scope)}"
    )


def note_command(note: Object, literals: Mapping[str, str], scope: Scope) -> str:
    """Return the command, for a message to people, that makes a note again that is gone."""
    words = shlex.join(f"--from-literal={key}={value}" for key, value in literals.items())
    there = f"configmap {note.name} --namespace={scope.namespace}"
    return f"kubectl create {there} {words}; kubectl label {there} {objects.OWNER}={scope.owner}"


def data_problems(cluster: Cluster, settings: Settings, description: Description) -> Iterator[str]:
    """Yield the claims of a registry that are gone with its data, or have data that the database's
    image may not read, and that rows or blobs are elsewhere. The claim of the dumps may be made
    again: they are not what Quay serves."""
    claims = [each for each in description.lasting if each.kind is objects.CLAIM]
    is_noted = description.note.key in cluster.found
    for each in claims:
        present = cluster.found.get(each.key)
        if present is None and is_noted and each.name != DUMPS:
            yield (
                f"{each.name}: the claim is gone, and with it data that this registry had; bring "
                "it back from a backup, or if the data is to be lost, run this and then deploy "
                f"again: kubectl delete "
                f"deployment/{description.verified.name} configmap/{description.note.name} "
                f"--namespace={settings.openshift_namespace}"
            )
        data = objects.annotations_of(present).get(objects.DATA) if present else None
        if data and data != each.annotations.get(objects.DATA):
            yield (
                f"postgresql_image: the claim {each.name} is of {data}, but this run needs "
                f"{each.annotations.get(objects.DATA)}, which may not read it; set it back, or "
                "follow docs/openshift.md#another-major-version-of-postgresql"
            )
    if note := cluster.found.get(description.note.key):
        rows = {str(description.note): note["data"].get("database")}
        yield from database_location.problems(description.note.content["data"]["database"], rows)
        before, now = note["data"].get("storage"), description.note.content["data"]["storage"]
        if before != now:
            yield (
                f"storage: Quay's blobs are in {before!r} (location, store, place), and this run "
                f"would have it look in {now!r}: it would find none of them; set it back, or copy "
                f"all blobs there and put the new place into ConfigMap {description.note.name}"
            )


def restore_problems(jobs: Iterable[str], namespace: str) -> Iterator[str]:
    """Yield the restores of runs that were cut off, which would replace the database under Quay,
    whatever its note says.

    Args:
        jobs: the names of the jobs that have not ended.
    """
    for name in jobs:
        if is_job(name, RESTORE):
            yield (
                f"restore: the Job {name} has not ended, and may still replace the database; end "
                f"it by kubectl delete job/{name} --namespace={namespace}, and then see which "
                "database is there: docs/upgrade.md#keeping-the-present-database"
            )


def _storage_problems(
    cluster: Cluster, settings: Settings, description: Description
) -> Iterator[str]:
    yield from data_problems(cluster, settings, description)
    claims = [each for each in description.lasting if each.kind is objects.CLAIM]
    if not all(each.key in cluster.found for each in claims):
        yield from storage_class_problems(cluster, settings)


def storage_class_problems(cluster: Cluster, settings: Settings) -> Iterator[str]:
    """Yield why no volume can be made for a claim that is not there yet."""
    classes = cluster.storage_classes
    if classes is None:
        return
    wanted = settings.openshift_storage_class
    known = ", ".join(classes) or "none"
    if wanted and wanted not in classes:
        yield f"openshift_storage_class: there is no class {wanted}; the cluster has: {known}"
    elif not wanted and not any(classes.values()):
        yield (
            "openshift_storage_class: not set, and none of the cluster's classes is the default; "
            f"set one of: {known}"
        )


def _login_problems(context: Context) -> Iterator[str]:
    needed, logins = registries(context), logins_of(context.settings)
    if logins and not any(is_login_of(login, each) for login in logins for each in needed):
        known = sorted(set(map(registry_of, logins)))
        yield (
            f"pull_secret: {context.settings.pull_secret} has logins for {', '.join(known)}, and "
            f"the images come from {', '.join(sorted(needed))}; add that login, or leave the "
            "setting out"
        )


def _quota_problems(cluster: Cluster, description: Description, scope: Scope) -> Iterator[str]:
    """Yield what the namespace's quotas don't leave room for: of what is not there yet, and of what
    runs for a while beside what is there. Without room for that an upgrade would stop after the
    migration."""
    new = [each for each in description.lasting if each.key not in cluster.found]
    needed = _needs(new)
    for resource, amount in _needs_meanwhile(cluster, description, scope).items():
        needed[resource] = needed.get(resource, 0) + amount
    for quota in filter(_counts_pods_that_stay, cluster.quotas):
        status = quota.get("status", {})
        if "limits.cpu" in status.get("hard", {}) and not cluster.has_cpu_limit:
            # Kubernetes refuses each pod without one (podEvaluator in pkg/quota/v1/evaluator).
            yield (
                f"openshift_namespace: the quota {quota['metadata']['name']} names limits.cpu, so "
                "it refuses every pod without a limit of processors, and the registry's have none; "
                "have a LimitRange made with a default for it, or have limits.cpu taken out"
            )
        for resource, limit in status.get("hard", {}).items():
            used = status.get("used", {}).get(resource, "0")
            # More than all is used, if the quota was lowered.
            free = max(number(limit) - number(used), 0)
            if needed.get(resource, 0) > free:
                yield (
                    f"openshift_namespace: the quota {quota['metadata']['name']} leaves "
                    f"{resource} {text(free)} of {limit}, and the registry needs "
                    f"{text(needed[resource])}; have it raised"
                )


def _needs_meanwhile(cluster: Cluster, description: Description, scope: Scope) -> dict[str, float]:
    """Return the most that one pod takes which runs for a while beside those that are there: Quay's
    next one, or that of a job."""
    quay, note = description.verified, description.note
    served, noted = cluster.found.get(quay.key), cluster.found.get(note.key)
    if served is None:
        return {}
    pods = []
    is_changed = objects.digest_of(served) != objects.digest_of(scope.manifest(quay))
    if is_changed and quay.content["spec"]["strategy"]["type"] == "RollingUpdate":
        pods.append(quay)
    if noted and noted["data"].get("schema") != note.content["data"]["schema"]:
        pods += description.jobs
    found: dict[str, float] = {}
    for each in pods:
        for resource, amount in _pods_needs(each, 1).items():
            found[resource] = max(found.get(resource, 0), amount)
    return found


def _counts_pods_that_stay(quota: Mapping[str, Any]) -> bool:
    """Whether a quota is about pods like the registry's: they ask for resources, and no time ends
    them. One that names priorities may be."""
    spec = quota.get("spec", {})
    ours = {"NotTerminating", "NotBestEffort"}
    return not spec.get("scopeSelector") and ours.issuperset(spec.get("scopes") or ())


def _needs(wanted: Iterable[Object]) -> dict[str, float]:
    """Return what objects take of a quota, by its resources' names."""
    found: dict[str, float] = {}

    def add(resource: str, amount: float) -> None:
        found[resource] = found.get(resource, 0) + amount

    for each in wanted:
        add(f"count/{each.kind.resource}" + (f".{each.kind.group}" if each.kind.group else ""), 1)
        if each.kind is objects.CLAIM:
            add("persistentvolumeclaims", 1)
            add(
                "requests.storage", number(each.content["spec"]["resources"]["requests"]["storage"])
            )
        elif each.kind is objects.DEPLOYMENT:
            for resource, amount in _pods_needs(each, each.content["spec"]["replicas"]).items():
                add(resource, amount)
        elif each.kind in (objects.SECRET, objects.SERVICE, objects.CONFIG_MAP):
            add(each.kind.resource, 1)
    return found


def _pods_needs(owner: Object, number_of_pods: int) -> dict[str, float]:
    """Return what pods of a deployment or job take of a quota, by its resources' names."""
    found: dict[str, float] = {"pods": number_of_pods}
    for container in owner.content["spec"]["template"]["spec"]["containers"]:
        for kind, amounts in container["resources"].items():
            for name, amount in amounts.items():
                of_both = (f"{kind}.{name}", *([name] if kind == "requests" else []))
                for resource in of_both:
                    found[resource] = found.get(resource, 0) + number_of_pods * number(amount)
    return found

"""What a cluster is asked before anything is made in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyinfra.api import Host

from operations.openshift.kubectl import FROM_INPUT, ClusterError, as_input, ask, parsed, selector
from quaylab.openshift.cluster import Access, Cluster, Right, rights
from quaylab.openshift.objects import (
    BUCKET_CLAIM,
    CLAIM,
    NAMESPACE,
    OPERATOR_GROUP,
    PACKAGE,
    QUAY_REGISTRY,
    SERVICE_VERSION,
    SUBSCRIPTION,
    Kind,
)
from quaylab.openshift.operator.description import DATABASE_PARTS, PARTS
from quaylab.openshift.operator.state import OlmObject, Package
from quaylab.openshift.plan import ClusterPlan
from quaylab.problems import Refusal

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# What kubectl says if the login isn't valid any more.
NO_LOGIN = ("Unauthorized", "must be logged in", "system:anonymous", "provide credentials")
FORBIDDEN = "(Forbidden)"
# The definition of QuayRegistry, which Quay's operator brings with it.
CUSTOM_KIND = f"{QUAY_REGISTRY.resource}.{QUAY_REGISTRY.group}"


def server(host: Host, access: Access) -> str:
    """Return the address of the API server that the context leads to.

    Raises:
        Refusal: there is no kubectl, no file, or no such context.
    """
    try:
        # It prints no tokens and keys.
        config = json.loads(ask(host, access, "config", "view", "--output=json"))
    except ClusterError as error:
        raise Refusal(
            [
                f"openshift_kubeconfig: {host.name} can't read {access.kubeconfig}: {error}; "
                "kubectl or oc has to be there, and the file it is logged in with"
            ]
        ) from None
    contexts = {each["name"]: each["context"] for each in config.get("contexts") or []}
    if not contexts:
        raise Refusal(
            [
                f"openshift_kubeconfig: {access.kubeconfig} on {host.name} is not there, or has no "
                "context; log in on that host, as with `oc login`, or name the file of the login"
            ]
        )
    if access.context not in contexts:
        raise Refusal(
            [
                f"openshift_context: there is no context {access.context} in {access.kubeconfig} "
                f"on {host.name}; it has: {', '.join(contexts)}"
            ]
        )
    clusters = {each["name"]: each["cluster"] for each in config.get("clusters") or []}
    found: str | None = clusters.get(contexts[access.context].get("cluster"), {}).get("server")
    if found is None:
        raise Refusal(
            [
                f"openshift_context: {access.context} in {access.kubeconfig} on {host.name} names "
                "no cluster; log in again, as with `oc login`"
            ]
        )
    return found


def cluster(host: Host, access: Access, address: str) -> Cluster:
    """Return what the cluster has; its objects of ours are not looked for yet.

    Raises:
        Refusal: the login is not valid.
        ClusterError: the cluster doesn't answer.
    """
    try:
        version = json.loads(ask(host, access, "get", "--raw=/version"))["gitVersion"]
        # Not /apis, which on MicroShift leaves out the group of OpenShift's constraints.
        versions = ask(host, access, "api-versions").split()
        phase = _phase(host, access)
    except ClusterError as error:
        if any(each in str(error) for each in NO_LOGIN):
            raise Refusal(
                [
                    f"openshift_kubeconfig: the login of {access.context} in {access.kubeconfig} "
                    f"is not valid at {address}, or has expired; log in again, as with `oc login`"
                ]
            ) from None
        raise
    found = Cluster(
        address,
        version,
        frozenset(each.partition("/")[0] for each in versions),
        phase,
        _storage_classes(host, access),
    )
    if phase != "Active":
        return found
    limits = _listed(host, access, "limitranges")
    return dataclasses.replace(
        found,
        quotas=tuple(_listed(host, access, "resourcequotas") or ()),
        limit_ranges=None if limits is None else tuple(limits),
    )


def with_operators(host: Host, access: Access, found: Cluster, package: str) -> Cluster:
    """Return the cluster with what its catalogues and OLM have of Quay's operator. What the login
    may not list is left out: a deploy then names the right that is missing.

    + package: the operator's name in the catalogues

    Raises:
        ClusterError: the cluster doesn't answer.
    """
    if not (found.has(SUBSCRIPTION) and found.has(PACKAGE)):
        return found
    # All packages together are some megabytes, even without their icons.
    by_name = f"--field-selector=metadata.name={package}"
    packages = _listed(host, access, PACKAGE.argument, by_name) or []

    def data(kind: Kind, labels: Mapping[str, str]) -> list[dict[str, Any]] | None:
        """Return what of the operator's is there; None: it is not known."""
        if found.phase != "Active" or not found.has(kind):
            return None
        return _listed(host, access, kind.argument, f"--selector={selector(labels)}")

    claims, buckets = data(CLAIM, DATABASE_PARTS), data(BUCKET_CLAIM, PARTS)
    return dataclasses.replace(
        found,
        packages=tuple(map(Package.of, packages)),
        olm_objects=tuple(_olm_objects(host, access, found)),
        # Unknown is not lost.
        has_database_claim=claims != [],
        has_bucket_claim=buckets != [],
        operators_data=(*(claims or ()), *(buckets or ())),
    )


def _olm_objects(host: Host, access: Access, found: Cluster) -> Iterator[OlmObject]:
    """Yield the groups of operators in the namespace, the operators of Quay, and what they make."""
    fields = (
        "{.kind}",
        "{.metadata.name}",
        r"{.metadata.labels.olm\.copiedFrom}",
        "{.spec.customresourcedefinitions.owned[*].name}",
    )
    line = r"{'\t'}".join(fields)
    kinds = [each for each in (OPERATOR_GROUP, SERVICE_VERSION, QUAY_REGISTRY) if found.has(each)]
    try:
        output = ask(
            host, access, "get", ",".join(each.argument for each in kinds),
            f"--output=jsonpath={{range .items[*]}}{line}{{'\\n'}}{{end}}",
        )  # fmt: skip
    except ClusterError as error:
        if FORBIDDEN in str(error):
            return
        raise
    for text in output.splitlines():
        kind, name, copied_from, brings = text.split("\t")
        if kind != SERVICE_VERSION.name or CUSTOM_KIND in brings.split():
            yield OlmObject(kind, name, copied_from)


def missing_rights(host: Host, plan: ClusterPlan) -> Iterator[str]:
    """Yield the rights that the login lacks, each asked of the cluster.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    namespace = plan.access.namespace
    wanted = rights(plan.description, plan.cluster, namespace)
    missing = lacking(host, plan.access, wanted)
    if any(each.resource == NAMESPACE.resource for each in missing):
        # Who has a project made often gets all rights in it, so the others say nothing yet.
        yield (
            f"openshift_namespace: there is no {namespace} that this login may get, and it may not "
            f"make one; have it made: on OpenShift `oc new-project {namespace}`"
        )
        return
    for name in dict.fromkeys(each.name for each in missing):
        verbs = ", ".join(each.verb for each in missing if each.name == name)
        yield (
            f"openshift_context: {plan.access.context} may not {verbs} {name} in {namespace}; have "
            "it allowed, as by the role `admin` there"
        )


def lacking(host: Host, access: Access, wanted: Iterable[Right]) -> list[Right]:
    """Return those of the rights that the login lacks.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    wanted = list(wanted)
    answers = ask(
        host,
        access,
        "create",
        FROM_INPUT,
        # The server doesn't check the fields of reviews, and kubectl would have to fetch a schema.
        "--validate=false",
        "--output=json",
        stdin=as_input(each.review for each in wanted),
    )
    allowed = [each["status"].get("allowed", False) for each in parsed(answers)]
    return [each for each, is_allowed in zip(wanted, allowed, strict=True) if not is_allowed]


def _phase(host: Host, access: Access) -> str | None:
    """Return the namespace's phase; None: there is none that this login sees."""
    try:
        output = ask(
            host, access, "get", "namespace", access.namespace,
            "--ignore-not-found", "--output=jsonpath={.status.phase}",
        )  # fmt: skip
    except ClusterError as error:
        # On OpenShift a login sees only the projects that it takes part in.
        if FORBIDDEN in str(error):
            return None
        raise
    return output.strip() or None


def _storage_classes(host: Host, access: Access) -> dict[str, bool] | None:
    found = _listed(host, access, "storageclasses")
    if found is None:
        return None
    return {
        each["metadata"]["name"]: (each["metadata"].get("annotations") or {}).get(DEFAULT_CLASS)
        == "true"
        for each in found
    }


def _listed(
    host: Host, access: Access, resource: str, *options: str
) -> list[dict[str, Any]] | None:
    """Return objects that hold no secrets; None if the login may not list them."""
    try:
        return parsed(ask(host, access, "get", resource, *options, "--output=json"))
    except ClusterError as error:
        if FORBIDDEN in str(error):
            return None
        raise

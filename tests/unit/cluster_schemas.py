"""Schemas of the kinds that Kubernetes itself does not have: OpenShift's, OLM's, Quay's operator's.

They were written from the APIs' documentation, for the fields that Quaylab uses; an unknown field
is an error, as in strict validation.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jsonschema
from kubernetes_validate import SchemaNotFoundError, utils
from referencing import Registry, Resource


def closed(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
METADATA = closed(("name",), name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)


def one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


def items(schema: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema}


# What the API server takes; the operator writes it in its shortest form.
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[numkMGTPE])?$"}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
COMPONENT = closed(
    ("kind", "managed"),
    kind=one_of(
        "quay", "postgres", "clair", "clairpostgres", "redis", "horizontalpodautoscaler",
        "objectstorage", "route", "mirror", "monitoring", "tls",
    ),
    managed=FLAG,
    overrides=closed(
        volumeSize=QUANTITY,
        env=items(closed(("name", "value"), name=TEXT, value=TEXT)),
        replicas=NUMBER,
        labels=TEXTS,
        annotations=TEXTS,
        resources=closed(limits=QUANTITIES, requests=QUANTITIES),
    ),
)  # fmt: skip
SPECS: Mapping[tuple[str, str], Any] = {
    ("operators.coreos.com/v1", "OperatorGroup"): closed(targetNamespaces=items(TEXT)),
    ("operators.coreos.com/v1alpha1", "Subscription"): closed(
        ("name", "source", "sourceNamespace"),
        name=TEXT,
        channel=TEXT,
        source=TEXT,
        sourceNamespace=TEXT,
        startingCSV=TEXT,
        installPlanApproval=one_of("Automatic", "Manual"),
    ),
    ("quay.redhat.com/v1", "QuayRegistry"): closed(
        configBundleSecret=TEXT, components=items(COMPONENT)
    ),
    ("route.openshift.io/v1", "Route"): closed(
        ("to",),
        host=TEXT,
        path=TEXT,
        to=closed(("kind", "name"), kind=one_of("Service"), name=TEXT, weight=NUMBER),
        port=closed(("targetPort",), targetPort={"type": ["string", "integer"]}),
        tls=closed(
            ("termination",),
            termination=one_of("edge", "passthrough", "reencrypt"),
            insecureEdgeTerminationPolicy=one_of("None", "Redirect", "Allow"),
        ),
        wildcardPolicy=one_of("None", "Subdomain"),
    ),
}  # fmt: skip
PARAMETER = closed(
    ("name",),
    name={"type": "string", "pattern": "^[A-Z0-9_]+$"},
    displayName=TEXT,
    description=TEXT,
    value=TEXT,
    required=FLAG,
)
TEMPLATE = closed(
    ("apiVersion", "kind", "metadata", "objects"),
    apiVersion=TEXT,
    kind=TEXT,
    metadata=METADATA,
    labels=TEXTS,
    message=TEXT,
    parameters=items(PARAMETER),
    objects=items({"type": "object", "required": ["apiVersion", "kind", "metadata"]}),
)


def check(manifest: Mapping[str, Any], version: str) -> None:
    """Check a manifest strictly, by Kubernetes' published schemas of a version such as ``1.32``, or
    by one of these.

    Raises:
        jsonschema.ValidationError: it doesn't follow its schema.
        SchemaNotFoundError: nothing is known of its kind.
    """
    if manifest["kind"] == "Template":
        jsonschema.validate(manifest, TEMPLATE)
        return
    spec = SPECS.get((manifest["apiVersion"], manifest["kind"]))
    if spec is None:
        _validator(version, manifest["apiVersion"], manifest["kind"]).validate(manifest)
        return
    schema = closed(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=TEXT,
        kind=TEXT,
        metadata=METADATA,
        spec=spec,
    )
    jsonschema.validate(manifest, schema)


@functools.cache
def _validator(version: str, api_version: str, kind: str) -> jsonschema.Draft202012Validator:
    """Return what checks objects of a kind. kubernetes_validate's own reads a megabyte for each."""
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], number)))
    try:
        schema = _published(version, name)
    except FileNotFoundError:
        raise SchemaNotFoundError(kind, version, api_version) from None
    definitions = Resource.from_contents(_published(version, "_definitions"))
    return jsonschema.Draft202012Validator(schema, registry=definitions @ Registry())


@functools.cache
def _published(version: str, name: str) -> Any:
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"
    return utils.schema_contents(f"{folder}/{name}.json", version)

"""Where clients reach the registry, by what the cluster says of the object that leads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quaylab.openshift.objects import ROUTE, Manifest


def address(manifest: Mapping[str, Any]) -> str | None:
    """Return the name or address to connect to; None: not known yet.

    DNS may not know the registry's name, so this is the router's own.
    """
    status = manifest.get("status", {})
    if manifest["kind"] == ROUTE.name:
        admitted = [each for each in status.get("ingress") or [] if _is_admitted(each)]
        return (
            admitted[0].get("routerCanonicalHostname", manifest["spec"]["host"])
            if admitted
            else None
        )
    for each in status.get("loadBalancer", {}).get("ingress") or []:
        return str(each.get("ip") or each["hostname"])
    return None


def refusal(manifest: Mapping[str, Any]) -> str | None:
    """Return why the router refuses a route, such as a host that another route has."""
    for each in manifest.get("status", {}).get("ingress") or []:
        for condition in each.get("conditions") or []:
            if condition["type"] == "Admitted" and condition["status"] == "False":
                return f"{condition.get('reason', 'refused')}: {condition.get('message', '')}"
    return None


def has_moved(found: Manifest | None, wanted: Manifest) -> bool:
    """Whether a route that is there leads clients of another host to Quay."""
    return (
        found is not None
        and wanted["kind"] == ROUTE.name
        and found["spec"].get("host") != wanted["spec"]["host"]
    )


def _is_admitted(ingress: Mapping[str, Any]) -> bool:
    return any(
        each["type"] == "Admitted" and each["status"] == "True"
        for each in ingress.get("conditions") or []
    )

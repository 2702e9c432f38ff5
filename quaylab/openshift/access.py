"""Who may reach the registry's pods, and how clients get to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quaylab.openshift import backing, quay
from quaylab.openshift.objects import (
    INGRESS,
    NETWORK_POLICY,
    ROUTE,
    SECRET,
    SERVICE,
    Object,
    Scope,
    secret_data,
)
from quaylab.services import database, redis
from quaylab.services import quay as quay_service
from quaylab.services.base import Context

TLS_SECRET = "quaylab-tls"


@dataclass(frozen=True)
class Backend:
    """What clients are led to: the Service inside the cluster, and the labels of Quay's pods."""

    service: str
    pods: Mapping[str, str]


def policies(context: Context, scope: Scope) -> tuple[Object, ...]:
    """Return who may connect to which pod; all else is refused."""
    clients = [quay.COMPONENT, backing.CLIENT]
    return (
        _policy(scope, quay.COMPONENT, quay_service.HTTPS_PORT, None),
        _policy(scope, "database", database.engine(context.settings).port, clients),
        _policy(scope, "redis", redis.PORT, clients),
        # Jobs serve nobody.
        _policy(scope, backing.CLIENT, None, None),
    )


def _policy(scope: Scope, component: str, port: int | None, clients: list[str] | None) -> Object:
    """Return the policy of a component's pods.

    Args:
        port: where they may be reached; None: nowhere.
        clients: the components that may connect; None: everybody may, since a router may run in the
            nodes' network, which no selector can name.
    """
    rules: list[dict[str, Any]] = []
    if port:
        rules.append({"ports": [{"protocol": "TCP", "port": port}]})
        if clients:
            rules[0]["from"] = [
                {"podSelector": {"matchLabels": scope.selector(each)}} for each in clients
            ]
    spec = {
        "podSelector": {"matchLabels": scope.selector(component)},
        "policyTypes": ["Ingress"],
        **({"ingress": rules} if rules else {}),
    }
    return Object(NETWORK_POLICY, f"quaylab-{component}", {"spec": spec}, component)


def exposure(context: Context, backend: Backend) -> tuple[Object, ...]:
    """Return what leads clients to Quay's pods, beside the Service inside the cluster."""
    match context.settings.openshift_exposure:
        case "ingress":
            return _ingress(context, backend)
        case "loadbalancer":
            return (_load_balancer(context, backend),)
    return (_route(context, backend),)


def quay_backend(scope: Scope) -> Backend:
    return Backend(quay.NAME, scope.selector(quay.COMPONENT))


def service(scope: Scope) -> Object:
    ports = {"https": (443, quay_service.HTTPS_PORT)}
    return backing.service(scope, quay.NAME, quay.COMPONENT, ports)


def _route(context: Context, backend: Backend) -> Object:
    spec = {
        "host": context.topology.hostname,
        "to": {"kind": "Service", "name": backend.service, "weight": 100},
        "port": {"targetPort": "https"},
        # Quay has the certificate, as on machines.
        "tls": {"termination": "passthrough", "insecureEdgeTerminationPolicy": "Redirect"},
        "wildcardPolicy": "None",
    }
    return Object(ROUTE, quay.NAME, {"spec": spec}, quay.COMPONENT)


def _load_balancer(context: Context, backend: Backend) -> Object:
    port = {
        "name": "https",
        "protocol": "TCP",
        "port": context.topology.https_port,
        "targetPort": quay_service.HTTPS_PORT,
    }
    spec = {
        "selector": dict(backend.pods),
        "ports": [port],
        "type": "LoadBalancer",
        # Only nodes with a pod take part, so that Quay sees the clients' addresses.
        "externalTrafficPolicy": "Local",
    }
    return Object(SERVICE, f"{quay.NAME}-public", {"spec": spec}, quay.COMPONENT)


def _ingress(context: Context, backend: Backend) -> tuple[Object, ...]:
    """Return an Ingress with the registry's certificate; behind it, Quay is reached by TLS as well.

    Ingress has no field for that, nor for the size of uploads: the annotations are those of
    ingress-nginx.
    """
    certificate = context.certificate
    values = {
        "tls.crt": certificate.certificate,
        "tls.key": certificate.key.get_secret_value(),
    }
    content = {"type": "kubernetes.io/tls", "data": secret_data(values)}
    hostname = context.topology.hostname
    service = {"service": {"name": backend.service, "port": {"name": "https"}}}
    spec = {
        "tls": [{"hosts": [hostname], "secretName": TLS_SECRET}],
        "rules": [
            {
                "host": hostname,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service}]},
            }
        ],
    }
    annotations = {
        "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS",
        "nginx.ingress.kubernetes.io/proxy-body-size": "0",
        "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "600",
    }
    return (
        Object(SECRET, TLS_SECRET, content, quay.COMPONENT),
        Object(INGRESS, quay.NAME, {"spec": spec}, quay.COMPONENT, annotations),
    )

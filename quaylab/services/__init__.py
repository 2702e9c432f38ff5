"""The services. Each has its own module, which holds everything specific to it.

To add one: write its module with a subclass of :class:`quaylab.services.base.Service`, and add it
to SERVICES here, with its settings and its secrets if it has any.
"""

from __future__ import annotations

from collections.abc import Mapping

from quaylab.services.balancer import Balancer, BalancerSettings
from quaylab.services.base import Service
from quaylab.services.ceph import Ceph, CephSecrets, CephSettings
from quaylab.services.database import Database, DatabaseSecrets, DatabaseSettings
from quaylab.services.etcd import Etcd, EtcdSettings
from quaylab.services.ingress import Ingress
from quaylab.services.mysql import MySQLSettings
from quaylab.services.object_store import ObjectStore, ObjectStoreSecrets, ObjectStoreSettings
from quaylab.services.postgresql import PostgreSQLSettings
from quaylab.services.quay import Quay, QuaySecrets, QuaySettings
from quaylab.services.redis import Redis, RedisSecrets, RedisSettings
from quaylab.services.router import Router

# In the order in which they start, but for the balancer, which starts after Quay.
SERVICES: tuple[Service, ...] = (
    Ceph(),
    Ingress(),
    ObjectStore(),
    Etcd(),
    Database(),
    Redis(),
    Router(),
    Balancer(),
    Quay(),
)
BY_NAME: Mapping[str, Service] = {service.name: service for service in SERVICES}


# In the reverse order of docs/settings.md: pydantic lists the fields of the last base first.
class ServiceSettings(
    CephSettings,
    ObjectStoreSettings,
    RedisSettings,
    MySQLSettings,
    EtcdSettings,
    PostgreSQLSettings,
    DatabaseSettings,
    BalancerSettings,
    QuaySettings,
):
    """The settings of all services."""


class ServiceSecrets(CephSecrets, ObjectStoreSecrets, RedisSecrets, DatabaseSecrets, QuaySecrets):
    """The secrets of all services."""

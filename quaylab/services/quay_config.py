"""Quay's config.yaml, from settings, topology and credentials."""

from __future__ import annotations

import hmac
import ipaddress
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from quaylab.model import LOOPBACK
from quaylab.services import database, object_store
from quaylab.services.base import Audience
from quaylab.settings.types import is_ip_address

if TYPE_CHECKING:
    from quaylab.secrets.credentials import Credentials
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

# The bundle relative to Quay's working directory; Quay's own check of MySQL's CA expects this path.
BUNDLE = "conf/stack"
# YAML 1.2, "Core Schema": 12345678e9 is a float, 0o17 an integer.
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
# The networks of proxies that may name a client.
TRUSTED = "TRUSTED_PROXY_CIDR"
DATABASE_CA, REDIS_CA = "database.pem", "redis.pem"


def _database_tls(
    settings: Settings, topology: Topology, credentials: Credentials
) -> dict[str, Any]:
    """Return the options with which libpq or PyMySQL verifies chain and name."""
    if database.authority(settings, topology, credentials) is None:
        return {}
    return database.engine(settings).tls(f"{BUNDLE}/{DATABASE_CA}")


def _redis_tls(settings: Settings) -> dict[str, Any]:
    """Return those of redis-py; its release in Quay 3.16 checks no name by default."""
    if settings.redis_ca is None:
        return {}
    authority = f"{BUNDLE}/{REDIS_CA}"
    return {"ssl": True, "ssl_ca_certs": authority, "ssl_check_hostname": True}


def build(settings: Settings, topology: Topology, credentials: Credentials) -> dict[str, Any]:
    """Return config.yaml: defaults of a private registry, which ``quay_config`` may override, and
    keys that it may not set. docs/quay-config.md explains each key."""
    owned = _owned(settings, topology, credentials)
    config = _defaults(topology) | settings.quay_config | owned
    balancers = [f"{address}/32" for address in _balancers(settings, topology)]
    config[TRUSTED] = list(dict.fromkeys([*config[TRUSTED], *balancers]))
    return config


def _owned(settings: Settings, topology: Topology, credentials: Credentials) -> dict[str, Any]:
    # Upstream's validator checks one Redis entry with the other's port, so both are the same.
    redis = {
        "host": topology.redis.address,
        "port": topology.redis.port,
        "password": credentials.redis_password.get_secret_value(),
        **_redis_tls(settings),
    }
    secret_key = credentials.secret_key.get_secret_value()
    return {
        # True by default: then pushes take no lock against garbage collection, no mail is sent,
        # and the signatures of OIDC's tokens go unchecked.
        "TESTING": False,
        "AUTHENTICATION_TYPE": "Database",
        "SERVER_HOSTNAME": topology.registry,
        "PREFERRED_URL_SCHEME": "https",
        "SETUP_COMPLETE": True,
        "DATABASE_SECRET_KEY": credentials.database_secret_key.get_secret_value(),
        "SECRET_KEY": secret_key,
        "PAGE_TOKEN_KEY": _page_token_key(secret_key),
        "DB_URI": database.uri(settings, topology, credentials, f"{BUNDLE}/{DATABASE_CA}"),
        "DB_CONNECTION_ARGS": {
            "threadlocals": True,
            "autorollback": True,
            **_database_tls(settings, topology, credentials),
        },
        "BUILDLOGS_REDIS": redis,
        "USER_EVENTS_REDIS": dict(redis),
        # Used with FEATURE_IMAGE_PULL_STATS only. Quay's default is database 1, which a provider's
        # Redis may not have.
        "PULL_METRICS_REDIS": {**redis, "db": 0},
        **object_store.config(settings, topology, credentials),
        "USERFILES_LOCATION": settings.storage_location,
        "LOG_ARCHIVE_LOCATION": settings.storage_location,
        "ACTION_LOG_ARCHIVE_LOCATION": settings.storage_location,
        "FEATURE_USER_INITIALIZE": True,
        "SUPER_USERS": [settings.quay_superuser],
    }


def _defaults(topology: Topology) -> dict[str, Any]:
    return {
        "DEFAULT_TAG_EXPIRATION": "2w",
        "TAG_EXPIRATION_OPTIONS": ["0s", "1d", "1w", "2w", "4w"],
        "FEATURE_MAILING": False,
        # A private registry: accounts are made by the superuser, not by whoever finds the page.
        "FEATURE_USER_CREATION": False,
        # Nobody runs builders here: builds would wait for ever.
        "FEATURE_BUILD_SUPPORT": False,
        # The protocol of Docker before 1.6.
        "FEATURE_RESTRICTED_V1_PUSH": True,
        # No other site's scripts may read what the API answers.
        "CORS_ORIGIN": [topology.url],
        # Otherwise any client could forge the address in the usage logs by X-Forwarded-For.
        # The balancers' addresses are added.
        TRUSTED: [f"{LOOPBACK}/32"],
    }


def _balancers(settings: Settings, topology: Topology) -> tuple[str, ...]:
    """Return the addresses from which balancers connect, as far as they are known."""
    elsewhere = settings.balancer_host
    if elsewhere:
        return (elsewhere,) if is_ip_address(elsewhere) and ":" not in elsewhere else ()
    return topology.addresses_of(Audience.BALANCERS)


def _page_token_key(secret_key: str) -> str:
    """Return a Fernet key derived from SECRET_KEY, in place of the published default."""
    return urlsafe_b64encode(hmac.digest(secret_key.encode(), b"PAGE_TOKEN_KEY", "sha256")).decode()


def setting_problems(settings: Settings) -> Iterator[str]:
    """Yield problems with keys of ``quay_config`` themselves."""
    trusted = settings.quay_config.get(TRUSTED, [])
    if not (isinstance(trusted, (list, tuple)) and all(map(_is_network, trusted))):
        yield f'quay_config: {TRUSTED} is not a list of networks; write for example ["10.0.0.0/8"]'


def _is_network(value: object) -> bool:
    try:
        ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        return False
    return isinstance(value, str)


def problems(settings: Settings, topology: Topology, credentials: Credentials) -> list[str]:
    """Return problems with keys of ``quay_config`` that follow from other settings."""
    owned = _owned(settings, topology, credentials)
    return [
        f"quay_config: {key} is worked out from the other settings; leave it out"
        for key in settings.quay_config
        if key in owned
    ]


def render(config: Mapping[str, Any]) -> str:
    """Return config.yaml, the same text for the same values."""
    return yaml.dump(dict(config), Dumper=_PlainDumper, sort_keys=True)


def workers(memory_mb: int) -> int:
    """Return how many workers of each kind fit a host's memory, at most Quay's own minimum of 8.

    Measured: the core services with one worker of each of the three kinds take 640 MB, with 8 of
    each 3.6 GB, so a worker takes about 125 MB. Half of the memory is left to the host and to the
    other services.
    """
    # Whole gigabytes: a new kernel, which reports a little less, must not change the container.
    half = round(memory_mb / 1024) * 1024 // 2
    return max(1, min(8, (half - 640) // (3 * 125)))


class _PlainDumper(yaml.SafeDumper):
    """Without anchors, as people read the file: both Redis entries have the same values."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _PlainDumper, text: str) -> yaml.ScalarNode:
    """Quote texts that YAML 1.2 reads as numbers, and PyYAML, which has 1.1, does not: Quay's own
    check of the file at its start is of the first kind."""
    style = "'" if NUMBER.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_PlainDumper.add_representer(str, _text)

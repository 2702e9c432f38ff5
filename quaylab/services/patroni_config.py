"""Patroni's configuration: a member's file, and the settings that the cluster keeps in etcd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import SecretStr

from quaylab.endpoints import netloc
from quaylab.paths import ETC
from quaylab.services import etcd_config, member_certificate
from quaylab.services.database_engine import MAX_CONNECTIONS
from quaylab.services.postgresql import REPLICATION, REWIND, PostgreSQL
from quaylab.upgrade.dumps import SCRATCH

API_PORT = 8008
DATABASE_PORT = PostgreSQL.port
SCOPE = "quaylab"
# Where etcd has the name of the member that leads.
LEADER_KEY = f"/service/{SCOPE}/leader"
FILE = "patroni.yml"
CONFIGURATION = f"{ETC}/{FILE}"
# A member's tag with the digest of the files that its Patroni has loaded.
TAG = "quaylab"
DATA = f"{PostgreSQL.data}/userdata"
# Debian's and sclorg's socket; psycopg2 of PyPI would look elsewhere.
SOCKET = "/var/run/postgresql"
API_USER = "quaylab"
Configuration = dict[str, Any]


@dataclass(frozen=True)
class Passwords:
    """What members show each other: for copying data, and to change the cluster by its API."""

    replication: SecretStr
    rewind: SecretStr
    api: SecretStr


@dataclass(frozen=True)
class Ports:
    """The ports at which the hosts publish the services of their members."""

    database: int = DATABASE_PORT
    api: int = API_PORT
    etcd: int = etcd_config.CLIENT_PORT


def dynamic_settings() -> Configuration:
    """Return what the cluster keeps in etcd and all members follow.

    The founder's file has it for the first start. Later only Patroni's API changes it: see
    :func:`changes`.
    """
    return {
        # A dead leader is noticed after ttl seconds. Patroni accepts no less than 20, and no
        # loop_wait + 2 * retry_timeout above it. A PostgreSQL that died is noticed after loop_wait.
        "ttl": 20,
        "loop_wait": 3,
        "retry_timeout": 5,
        # What Quay was told is written exists on two members, the leader and any other: so writes
        # go on at once if one of those that follow is lost. Strict: even if one is left; it then
        # waits until a second one is there.
        "synchronous_mode": "quorum",
        "synchronous_mode_strict": True,
        # Without a majority of etcd the leader goes on while it reaches every other member.
        "failsafe_mode": True,
        # No limit (1 TiB): a quorum has every acknowledged write, so whoever may lead has them too.
        # With Patroni's 1 MiB nobody leads if the leader is lost while it writes fast: what was
        # known of its log is some seconds old.
        "maximum_lag_on_failover": 1024**4,
        # Another member takes over at once if PostgreSQL dies; Patroni would wait for 300 seconds.
        "primary_start_timeout": 0,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "max_connections": MAX_CONNECTIONS,
                # pg_rewind needs them or checksums, and an adopted volume has no checksums.
                "wal_log_hints": "on",
                # A member that runs and copies nothing would fill the leader's disk, and with it
                # stop all writes. Hosts have 10 GB at least.
                "max_slot_wal_keep_size": "8GB",
            },
        },
    }


def configuration(
    name: str,
    members: Mapping[str, str],
    passwords: Passwords,
    *,
    database: str,
    user: str,
    is_founder: bool,
    ports: Ports | None = None,
) -> Configuration:
    """Return the content of a member's patroni.yml.

    Args:
        name: the member's name.
        members: the address of each member by its name, the same on all.
        database: Quay's database.
        user: Quay's role.
        is_founder: whether the member makes a new cluster, of its volume's data or of none. Exactly
            one does: another with an empty volume could win, and lock out the one with the data.
    """
    ports = ports or Ports()
    address = members[name]
    tls = {"sslmode": "verify-full", "sslrootcert": member_certificate.AUTHORITY_PATH}
    found: Configuration = {"bootstrap": {"dcs": dynamic_settings()}}
    return {
        "scope": SCOPE,
        "name": name,
        **(found if is_founder else {}),
        "etcd3": {
            "hosts": [netloc(each, ports.etcd) for each in members.values()],
            "protocol": "https",
            "cacert": member_certificate.AUTHORITY_PATH,
            "cert": member_certificate.CERTIFICATE_PATH,
            "key": member_certificate.KEY_PATH,
        },
        "restapi": {
            "listen": f"0.0.0.0:{API_PORT}",
            "connect_address": netloc(address, ports.api),
            "certfile": member_certificate.CERTIFICATE_PATH,
            "keyfile": member_certificate.KEY_PATH,
            # Anybody may ask who leads; changing calls need this.
            "authentication": {
                "username": API_USER,
                "password": passwords.api.get_secret_value(),
            },
        },
        # How members, and patronictl, call each other's API.
        "ctl": {"cacert": member_certificate.AUTHORITY_PATH},
        "postgresql": {
            "listen": f"*:{DATABASE_PORT}",
            "connect_address": netloc(address, ports.database),
            "data_dir": DATA,
            # Patroni writes passwords for PostgreSQL here, with mode 0600.
            "pgpass": f"{SOCKET}/pgpass",
            # Else a copy of the leader's data begins after its next checkpoint, minutes later.
            "basebackup": {"checkpoint": "fast"},
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "authentication": {
                # No password: by its socket only, for the server's own user.
                "superuser": {"username": "postgres"},
                "replication": {
                    "username": REPLICATION,
                    "password": passwords.replication.get_secret_value(),
                    **tls,
                },
                "rewind": {
                    "username": REWIND,
                    "password": passwords.rewind.get_secret_value(),
                    **tls,
                },
            },
            # The same on all members, but with paths of this one's container.
            "parameters": {
                "unix_socket_directories": SOCKET,
                "password_encryption": "scram-sha-256",
                "ssl": "on",
                "ssl_ca_file": member_certificate.AUTHORITY_PATH,
                "ssl_cert_file": member_certificate.CERTIFICATE_PATH,
                "ssl_key_file": member_certificate.KEY_PATH,
            },
            "pg_hba": _access(database, user),
        },
        # Its device is root's alone, and PostgreSQL runs as another user.
        "watchdog": {"mode": "off"},
    }


def render(configuration: Configuration) -> str:
    """Return the file; it holds passwords."""
    return yaml.safe_dump(configuration, sort_keys=False)


def loaded_digest(text: str) -> str:
    """Return the digest in a rendered file."""
    return str(yaml.safe_load(text)["tags"][TAG])


def changes(wanted: Configuration, found: Mapping[str, Any]) -> Configuration:
    """Return what to PATCH at the API's /config: what differs from the cluster's settings.

    Settings that are only found stay: Patroni and operators have their own there. So does a higher
    limit of connections.
    """
    patch: Configuration = {}
    for key, value in wanted.items():
        present = found.get(key)
        if isinstance(value, dict):
            inner = changes(value, present if isinstance(present, dict) else {})
            if inner:
                patch[key] = inner
        elif key == "max_connections" and isinstance(present, int) and present > value:
            continue
        elif value != present:
            patch[key] = value
    return patch


def _access(database: str, user: str) -> list[str]:
    """Return the lines of pg_hba.conf.

    Any address: the engine hides the client's. Quotes: a name such as `all` would be a keyword.
    """
    return [
        "local all postgres peer",
        f"local replication {REPLICATION} scram-sha-256",
        f"hostssl replication {REPLICATION} all scram-sha-256",
        f"hostssl postgres {REWIND} all scram-sha-256",
        f'hostssl "{database}" "{user}" all scram-sha-256',
        # A dump is restored there by the same role.
        f'hostssl "{SCRATCH}" "{user}" 127.0.0.1/32 scram-sha-256',
    ]

"""The certificate that members of the database's cluster show to each other and to Quay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaylab.model import ManagedFile, container_name
from quaylab.paths import ETC
from quaylab.services.base import ROUTER, Context

if TYPE_CHECKING:
    from quaylab.topology import Topology

# Their names in a service's folder.
AUTHORITY, CERTIFICATE, KEY = "ca.pem", "member.pem", "member.key"
# Their paths in its container.
AUTHORITY_PATH, CERTIFICATE_PATH, KEY_PATH = (
    f"{ETC}/{name}" for name in (AUTHORITY, CERTIFICATE, KEY)
)
# The name by which Quay, and HAProxy's checks, verify it.
NAME = container_name(ROUTER)


def names(topology: Topology) -> tuple[str, ...]:
    """Return the names and addresses that the certificate is for."""
    return (NAME, *topology.member_addresses.values())


def authority(context: Context, service: str, uid: int) -> ManagedFile:
    """Return the file of the lab's CA in a service's folder."""
    assert context.credentials.ca_certificate  # with_keys made it
    path = f"{ETC}/{service}/{AUTHORITY}"
    return ManagedFile(path, context.credentials.ca_certificate, uid=uid, mode=0o400)


def files(context: Context, service: str, uid: int) -> tuple[ManagedFile, ...]:
    """Return the files of CA, certificate and key in a service's folder."""
    credentials = context.credentials
    assert credentials.database_certificate and credentials.database_certificate_key
    contents = {
        CERTIFICATE: credentials.database_certificate,
        KEY: credentials.database_certificate_key.get_secret_value(),
    }
    return (
        authority(context, service, uid),
        *(
            ManagedFile(f"{ETC}/{service}/{name}", content, uid=uid, mode=0o400)
            for name, content in contents.items()
        ),
    )

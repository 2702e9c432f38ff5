"""TLS to a database or Redis that runs elsewhere: how it begins, and what settings it takes."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
from collections.abc import Iterator

from quaylab.settings import Settings
from quaylab.versions import is_legacy, quay_version

# What PostgreSQL is sent before a TLS handshake, and what it answers then.
POSTGRESQL_REQUEST, POSTGRESQL_AGREES = struct.pack("!ii", 8, 80877103), b"S"


def greet_postgresql(
    address: str, port: int, name: str, trusted: ssl.SSLContext, timeout: float
) -> None:
    """Make a TLS handshake with PostgreSQL, if it answers: libpq keeps a failed one's reason.

    Raises:
        ssl.SSLError: it has no TLS, or can't be trusted.
    """
    with socket.create_connection((address, port), timeout) as plain:
        plain.sendall(POSTGRESQL_REQUEST)
        answer = plain.recv(1)
        if not answer:
            return
        if answer != POSTGRESQL_AGREES:
            raise ssl.SSLError("the server has no TLS")
        with trusted.wrap_socket(plain, server_hostname=name):
            pass


def problems(settings: Settings) -> Iterator[str]:
    """Settings of services elsewhere that can't go together."""
    for part, authority in (("database", settings.database_ca), ("redis", settings.redis_ca)):
        if authority is None:
            continue
        if getattr(settings, f"{part}_host") is None:
            yield (
                f"{part}_ca: is for one that runs elsewhere, and {part}_host isn't set; the lab's "
                "own has no TLS: leave it out"
            )
        if is_legacy(quay_version(settings)):
            yield (
                f"{part}_ca: {quay_version(settings)} is given its CAs in the browser, when it is "
                "set up; leave it out"
            )
    host = settings.database_host
    if settings.database_ca and settings.database_engine == "postgresql" and _is_ip(host):
        yield (
            f"database_host: {host} is an address, and the libpq in Quay's image (13) finds none "
            "in a certificate; set the name that the certificate is for"
        )
    if settings.database_admin and host is None:
        yield (
            "database_admin: is for a database that runs elsewhere, and database_host isn't set; "
            "the lab's own needs none: leave it out"
        )
    if settings.database_admin == settings.database_user:
        yield (
            f"database_admin: {settings.database_admin} is database_user, who makes nothing; set "
            "the server's administrator"
        )


def _is_ip(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True

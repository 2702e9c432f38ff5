"""TLS to a database or Redis that runs elsewhere: its CA, and why it can't be trusted."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from quaylab.settings import Settings
from quaylab.versions import is_legacy, quay_version

# What PostgreSQL is sent before a TLS handshake, and what it answers then.
POSTGRESQL_REQUEST, POSTGRESQL_AGREES = struct.pack("!ii", 8, 80877103), b"S"
# OpenSSL's codes of a certificate's faults.
EXPIRED, OTHER_NAME, OTHER_ADDRESS, UNKNOWN_CA = 10, 62, 64, (18, 19, 20, 21)


def context(authority: Path) -> ssl.SSLContext:
    """What verifies chain and name as libpq and the Python in Quay's image do."""
    # From 3.13 on Python's default context is stricter, and refuses CAs that Quay takes.
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cafile=authority)
    return made


def reason(error: ssl.SSLError, setting: str) -> str:
    """Why a handshake failed, in an operator's words.

    Args:
        setting: the one that names the CA's file.
    """
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"does not speak TLS at this port, or no version in common; {setting} asks for TLS"
    if error.verify_code == EXPIRED:
        return "its certificate has expired; renew it there"
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return f"{error.verify_message.rstrip('.')}; set the name that it is for"
    if error.verify_code in UNKNOWN_CA:
        return f"its certificate is signed by a CA that {setting} doesn't hold"
    return f"its certificate can't be trusted: {error.verify_message}"


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


def problems(settings: Settings, now: dt.datetime | None = None) -> Iterator[str]:
    """Settings of services elsewhere that can't go together, and CAs that can't be used."""
    now = now or dt.datetime.now(dt.timezone.utc)
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
        yield from _authority_problems(f"{part}_ca", authority, now)
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


def _authority_problems(setting: str, authority: Path, now: dt.datetime) -> Iterator[str]:
    try:
        found = x509.load_pem_x509_certificates(authority.read_bytes())
    except ValueError:
        yield f"{setting}: {authority} is no PEM certificate"
        return
    # A provider's bundle holds old ones beside new ones.
    last = max(each.not_valid_after_utc for each in found)
    if last <= now:
        yield (
            f"{setting}: {authority} expired on {last:%Y-%m-%d}; get the one that signs the "
            "server's certificate now"
        )


def _is_ip(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True

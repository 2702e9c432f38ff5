"""TLS contexts like those of Quay's own clients, and TLS errors in an operator's words."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

# OpenSSL's verification errors.
EXPIRED, UNKNOWN_CA = 10, (2, 18, 19, 20, 21)
OTHER_NAME = (62, 64)


def context(*authorities: str, public: bool = False) -> ssl.SSLContext:
    """Return a context that verifies chain and name like Docker, libpq and Quay's own Python.

    Args:
        authorities: PEM of the CAs to trust.
        public: trust this machine's public CAs as well.
    """
    # From 3.13 on Python's default context refuses CAs that Quay accepts (without keyUsage, as
    # openssl makes them), and lets a chain end at an intermediate CA, which Quay does not.
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if public:
        result.load_default_certs()
    for authority in authorities:
        # Bundles may have comments between the certificates, in any script.
        result.load_verify_locations(cadata=authority.encode("ascii", "ignore").decode())
    return result


def registry_context(trusted: str) -> ssl.SSLContext:
    """Return a context that trusts a registry's CA, or the very certificate that it serves."""
    result = context(trusted)
    result.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return result


def try_handshake(certificate: Path, key: Path, name: str) -> None:
    """Try in memory the handshake that a client will make with a registry of this certificate.

    Raises:
        ssl.SSLError: the certificate can't be served, or is not trusted.
    """
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = registry_context(certificate.read_text())
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    # Each side goes on until it needs an answer; the client's second turn ends the handshake.
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def reason(error: ssl.SSLError, setting: str) -> str:
    """Say why a handshake failed.

    Args:
        setting: the setting that names the CA's file.
    """
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"does not speak TLS at this port, or no version in common; {setting} asks for TLS"
    if error.verify_code == EXPIRED:
        return "its certificate has expired; renew it there"
    if is_for_another_name(error):
        return f"{error.verify_message.rstrip('.')}; set the name that it is for"
    if error.verify_code in UNKNOWN_CA:
        return f"its certificate is signed by a CA that {setting} doesn't hold"
    return f"its certificate can't be trusted: {error.verify_message}"


def is_for_another_name(error: ssl.SSLCertVerificationError) -> bool:
    """Whether the certificate is valid, but for another name or address."""
    return error.verify_code in OTHER_NAME

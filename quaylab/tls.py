"""TLS as Quay's own clients make it: what is trusted, and in an operator's words why not."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

# OpenSSL's codes of a certificate's faults.
EXPIRED, UNKNOWN_CA = 10, (2, 18, 19, 20, 21)
OTHER_NAME = (62, 64)


def context(*authorities: str, public: bool = False) -> ssl.SSLContext:
    """What verifies chain and name as Docker, libpq and the Python in Quay's image do.

    Args:
        authorities: PEM of the CAs to trust.
        public: trust this machine's public CAs as well.
    """
    # From 3.13 on Python's default context refuses CAs that Quay takes (without keyUsage, as
    # openssl makes them), and ends a chain at a CA that is no root, which Quay does not.
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if public:
        made.load_default_certs()
    for authority in authorities:
        # Between certificates bundles hold names, in any script.
        made.load_verify_locations(cadata=authority.encode("ascii", "ignore").decode())
    return made


def registry_context(trusted: str) -> ssl.SSLContext:
    """What trusts a registry: its CA, or else the very certificate that it serves."""
    made = context(trusted)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return made


def rehearse(certificate: Path, key: Path, name: str) -> None:
    """Make a handshake in memory with a registry that serves a certificate, as a run ends with.

    Raises:
        ssl.SSLError: it can't be served, or is not trusted.
    """
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(certificate, key)
    asked, answered = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusts = registry_context(certificate.read_text())
    server = serves.wrap_bio(asked, answered, server_side=True)
    client = trusts.wrap_bio(answered, asked, server_hostname=name)
    # Each side goes as far as the other has spoken; the client's second word is its last.
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def reason(error: ssl.SSLError, setting: str) -> str:
    """Why a handshake failed.

    Args:
        setting: the one that names the CA's file.
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
    """Whether the certificate is good, but not that of the name or address it was asked at."""
    return error.verify_code in OTHER_NAME

"""Hosts in FIPS mode, whose OpenSSL refuses keys that others take.

What Quaylab makes itself fits: keys of P-256, signatures and checksums by SHA-256. Short keys and
old signatures in the user's certificate are refused for all hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from quaylab.hosts.machine import Machine
from quaylab.secrets import certificates

# FIPS 186-5 also has Ed25519, but RHEL's OpenSSL doesn't offer it in FIPS mode.
CURVES = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def problems(certificate: Path, machines: Iterable[Machine]) -> Iterator[str]:
    """Yield why hosts in FIPS mode can't use the user's certificate.

    Args:
        certificate: a PEM file that has been checked.
        machines: the hosts of the run.
    """
    if any(machine.fips for machine in machines):
        for each in certificates.read(certificate):
            if not _fits(each):
                yield (
                    f"tls_certificate: the key of {each.subject.rfc4514_string() or 'the first'} "
                    f"in {certificate} is neither RSA nor of a NIST curve, and hosts in FIPS mode "
                    "refuse it; get one with a key of P-256 or RSA"
                )


def _fits(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    return isinstance(key, rsa.RSAPublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)
    )

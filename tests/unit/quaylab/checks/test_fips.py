"""Certificates that hosts in FIPS mode refuse, and those that they take."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from quaylab.checks import fips
from quaylab.secrets import certificates
from tests.unit.samples import CREDENTIALS, machine

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.timezone.utc)
FIPS = [machine(), machine(fips=True)]
KEYS: dict[str, tuple[Any, bool]] = {
    "Ed25519": (ed25519.Ed25519PrivateKey.generate(), False),
    "Brainpool": (ec.generate_private_key(ec.BrainpoolP256R1()), False),
    "P-256": (ec.generate_private_key(ec.SECP256R1()), True),
    "RSA": (rsa.generate_private_key(65537, 2048), True),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "quay.pem"


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_a_certificate(file: Path, name: str) -> None:
    key, fits = KEYS[name]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "quay.example.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(KEYS["P-256"][0], hashes.SHA256())
    )
    file.write_bytes(made.public_bytes(Encoding.PEM))
    problems = [*fips.problems(file, FIPS)]
    assert len(problems) == (not fits)
    for problem in problems:
        assert problem == (
            f"tls_certificate: the key of CN=quay.example.com in {file} is neither RSA nor of a "
            "NIST curve, and hosts in FIPS mode refuse it; get one with a key of P-256 or RSA"
        )
    assert [*fips.problems(file, [machine()])] == []


def test_what_quaylab_makes_fits(file: Path) -> None:
    made = certificates.with_server_certificate(CREDENTIALS, "quay.example.com")
    assert made.certificate and made.ca_certificate
    file.write_text(made.certificate + made.ca_certificate)
    assert len(certificates.read(file)) == 2
    assert [*fips.problems(file, FIPS)] == []

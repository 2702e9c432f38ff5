"""A private CA such as a database provider has, with good and bad certificates."""

from __future__ import annotations

import datetime as dt
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """A CA that signs certificates for ``days``; a negative number makes an expired one."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(
        cls, name: str = "Private CA", days: int = 30, issuer: Authority | None = None
    ) -> Authority:
        """Make a root CA, or one that ``issuer`` signs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        above = issuer.certificate.subject if issuer else subject
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        built = (
            _builder(subject, above, key, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        return cls(built.sign(issuer.key if issuer else key, hashes.SHA256()), key)

    @classmethod
    def by_openssl(cls, folder: Path) -> Authority:
        """Make a CA with openssl, as most private ones are made: it has no keyUsage, so Python's
        default since 3.13 refuses it, while libpq, Docker and Quay accept it."""
        certificate, key = folder / "openssl.pem", folder / "openssl.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/CN=Made by openssl", "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        return cls(x509.load_pem_x509_certificate(certificate.read_bytes()), private)

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    def save(self, path: Path) -> Path:
        path.write_text(self.pem)
        return path

    def sign(
        self, *names: str, days: int = 30, server_key: PrivateKey | None = None
    ) -> tuple[str, str]:
        """Return a server certificate for ``names``, and its key."""
        key = server_key or ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        built = (
            _builder(_name(names[0]), self.certificate.subject, key, days)
            .add_extension(alternatives, critical=False)
            .add_extension(issuer, critical=False)
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return _pem(built.sign(self.key, hashes.SHA256())), pem.decode()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()

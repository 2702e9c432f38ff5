"""The lab's CA and the registry's certificate; checks of the user's own certificates."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from quaylab import tls

if TYPE_CHECKING:
    from quaylab.secrets.credentials import Credentials

CA_LIFE = dt.timedelta(days=3650)
# Apple's and most browsers' limit for a server certificate is 398 days.
LEAF_LIFE = dt.timedelta(days=397)
RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True)
class ServerCertificate:
    """Quay's certificate with its chain, its key, and our CA if it signed them; all PEM."""

    certificate: str
    key: SecretStr
    ca: str | None

    @property
    def trusted(self) -> str:
        """The PEM that a client must trust: our CA, or else the certificate itself."""
        return self.ca or self.certificate


def with_server_certificate(
    credentials: Credentials, hostname: str, now: dt.datetime | None = None
) -> Credentials:
    """Return credentials with a CA and a certificate for ``hostname``, renewed if due."""
    now = now or dt.datetime.now(dt.timezone.utc)
    if not _is_due(credentials.certificate, [hostname], now):
        return credentials
    if not _can_sign(credentials, now):
        # A new CA, which clients have to install.
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca_certificate = _make_ca(ca_key, f"Quaylab CA {credentials.identity}", now)
        credentials = credentials.model_copy(
            update={"ca_certificate": _pem(ca_certificate), "ca_key": _key_pem(ca_key)}
        )
    ca, signer = _authority(credentials)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _make_leaf(key, [hostname], ca, signer, now)
    return credentials.model_copy(
        update={"certificate": _pem(leaf), "certificate_key": _key_pem(key)}
    )


def with_ceph_certificate(
    credentials: Credentials,
    hostname: str,
    addresses: Sequence[str],
    now: dt.datetime | None = None,
) -> Credentials:
    """Return credentials with Ceph's certificate for ``addresses``, signed by the lab's CA."""
    return _with_certificate(credentials, "ceph_certificate", hostname, addresses, now)


def with_database_certificate(
    credentials: Credentials,
    hostname: str,
    names: Sequence[str],
    now: dt.datetime | None = None,
) -> Credentials:
    """Return credentials with the certificate of the database's members for ``names``.

    Members show it to each other as clients too, and etcd's gateway even to itself.
    """
    return _with_certificate(credentials, "database_certificate", hostname, names, now)


def _with_certificate(
    credentials: Credentials,
    field: str,
    hostname: str,
    names: Sequence[str],
    now: dt.datetime | None,
) -> Credentials:
    """Return credentials with a certificate in a field, and with its key in the field beside it."""
    now = now or dt.datetime.now(dt.timezone.utc)
    ca_pem, pem = credentials.ca_certificate, getattr(credentials, field)
    # A certificate of a former CA is replaced.
    if ca_pem and pem and is_signed_by(pem, ca_pem) and not _is_due(pem, names, now):
        return credentials
    if not _can_sign(credentials, now):
        # A new CA, and with it the registry's certificate.
        due = credentials.model_copy(update={"certificate": None})
        credentials = with_server_certificate(due, hostname, now)
    ca, signer = _authority(credentials)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _make_leaf(key, names, ca, signer, now, for_clients=field == "database_certificate")
    return credentials.model_copy(update={field: _pem(leaf), f"{field}_key": _key_pem(key)})


def server_certificate(credentials: Credentials) -> ServerCertificate:
    """Return the certificate that :func:`with_server_certificate` made."""
    assert credentials.certificate and credentials.certificate_key
    return ServerCertificate(
        credentials.certificate, credentials.certificate_key, credentials.ca_certificate
    )


def check(certificate: Path, key: Path, hostname: str, now: dt.datetime | None = None) -> list[str]:
    """Return what is wrong with the user's certificate: format, key, name, dates or chain."""
    now = now or dt.datetime.now(dt.timezone.utc)
    try:
        leaf, *chain = read(certificate)
        names = _names(leaf)
    except ValueError as error:
        return [f"tls_certificate: {certificate} {error}"]
    try:
        private = _load_key(key.read_text())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return [f"tls_key: {key} is not a PEM private key without a passphrase"]
    problems = []
    public_key = _public(private.public_key())
    if public_key in [_public(each.public_key()) for each in chain]:
        return [
            "tls_certificate: the registry's own certificate has to be the first one in "
            f"{certificate}"
        ]
    if public_key != _public(leaf.public_key()):
        problems.append(f"tls_key: {key} does not belong to {certificate}")
    if not any(_covers(name, hostname) for name in names):
        problems.append(
            f"tls_certificate: is for {', '.join(names) or 'no name'}, not for the registry's "
            f"name {hostname}; set server_hostname or get another certificate"
        )
    if leaf.not_valid_after_utc <= now:
        problems.append(f"tls_certificate: expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
    if leaf.not_valid_before_utc > now:
        problems.append(f"tls_certificate: not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    problems += _chain_problems(certificate, leaf, chain, now)
    if not problems:
        # Other reasons why a client could refuse it, such as a short key.
        try:
            tls.try_handshake(certificate, key, hostname)
        except ssl.SSLError as error:
            problems.append(f"tls_certificate: {certificate} can't be served: {error}")
    return problems


def _chain_problems(
    file: Path, leaf: x509.Certificate, chain: Sequence[x509.Certificate], now: dt.datetime
) -> Iterator[str]:
    """Yield why a chain doesn't lead clients from a certificate to its root."""
    rest = list(chain)
    if rest and not any(_is_issuer(each, leaf) for each in rest):
        yield (
            f"tls_certificate: no certificate after the first in {file} issued the first; "
            "put its issuer's second, then that one's issuer's"
        )
    below = leaf
    while issuers := [each for each in rest if _is_issuer(each, below)]:
        # There may be two versions of a root.
        below = max(issuers, key=lambda each: each.not_valid_after_utc)
        if below.not_valid_after_utc <= now:
            name, last = below.subject.rfc4514_string(), below.not_valid_after_utc
            yield f"tls_certificate: {name} in its chain expired on {last:%Y-%m-%d}"
        rest.remove(below)


def authority_problems(setting: str, file: Path, now: dt.datetime | None = None) -> Iterator[str]:
    """Yield why a file of CAs can't verify a server's certificate."""
    now = now or dt.datetime.now(dt.timezone.utc)
    try:
        found = read(file)
    except ValueError as error:
        yield f"{setting}: {file} {error}"
        return
    # A provider's bundle may have expired CAs beside valid ones.
    last = max(each.not_valid_after_utc for each in found)
    if last <= now:
        yield (
            f"{setting}: {file} expired on {last:%Y-%m-%d}; get the one that signs the server's "
            "certificate now"
        )
    if not any(_is_issuer(each, each) for each in found):
        yield (
            f"{setting}: {file} has only intermediate CAs; add the root CA that issued them, "
            "which Quay needs"
        )


def mismatches(credentials: Credentials) -> list[str]:
    """Return which certificates and keys of the credentials can't be read or don't belong together,
    for example because someone merged two files."""
    problems = []
    for name, key_name in (
        ("certificate", "certificate_key"),
        ("ca_certificate", "ca_key"),
        ("ceph_certificate", "ceph_certificate_key"),
        ("database_certificate", "database_certificate_key"),
    ):
        pem, key = getattr(credentials, name), getattr(credentials, key_name)
        try:
            public = pem and _public(x509.load_pem_x509_certificate(pem.encode()).public_key())
            private = key and _public(_load_key(key.get_secret_value()).public_key())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            problems.append(f"{name} or {key_name} is not PEM text")
            continue
        adopted = name == "ca_certificate" and pem and key is None
        if public != private and not adopted:
            problems.append(f"{name} and {key_name} don't belong together")
    if problems:
        return problems
    ca, certificate = credentials.ca_certificate, credentials.certificate
    if bool(ca) != bool(certificate) or (ca and certificate and not is_signed_by(certificate, ca)):
        problems.append("certificate is not by the CA in ca_certificate")
    return problems


def is_signed_by(certificate: str, ca: str) -> bool:
    """Whether a CA issued a certificate; both are PEM."""
    leaf, issuer = (x509.load_pem_x509_certificate(pem.encode()) for pem in (certificate, ca))
    return _is_issuer(issuer, leaf)


def pem_body(certificate: x509.Certificate) -> str:
    """Return what stands between the lines of a PEM certificate, as one line."""
    return b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def read(file: Path) -> list[x509.Certificate]:
    """Read the certificates of a file that is copied unchanged to hosts and clients.

    Raises:
        ValueError: with the reason, as the end of a sentence that begins with the file's name.
    """
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
        text = file.read_text()
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8; leave only the PEM blocks in it") from None
    except ValueError:
        raise ValueError("is not a PEM certificate") from None
    if "PRIVATE KEY-----" in text:
        raise ValueError(
            "holds a private key as well, and everybody may read a certificate's file on the "
            "hosts; leave only the certificates in it"
        )
    return found


def _is_issuer(above: x509.Certificate, below: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _can_sign(credentials: Credentials, now: dt.datetime) -> bool:
    """Whether the lab's CA can sign a certificate. Adopted credentials lack its key, and no
    certificate may outlive its CA."""
    ca_pem = credentials.ca_certificate
    return bool(ca_pem and credentials.ca_key and _expiry(ca_pem) >= now + LEAF_LIFE)


def _authority(credentials: Credentials) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the lab's CA and its key."""
    assert credentials.ca_certificate and credentials.ca_key
    signer = _load_key(credentials.ca_key.get_secret_value())
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(credentials.ca_certificate.encode()), signer


def _is_due(certificate: str | None, names: Sequence[str], now: dt.datetime) -> bool:
    if certificate is None:
        return True
    leaf = x509.load_pem_x509_certificate(certificate.encode())
    missing = set(names) - {*_names(leaf), *_addresses(leaf)}
    return bool(missing) or leaf.not_valid_after_utc - now < RENEW_BEFORE


def days_left(certificate: str) -> int:
    """Return the days until a PEM certificate expires; below 0 it has expired."""
    return (_expiry(certificate) - dt.datetime.now(dt.timezone.utc)).days


def _expiry(certificate: str) -> dt.datetime:
    return x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc


def _make_ca(key: ec.EllipticCurvePrivateKey, name: str, now: dt.datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
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
    return (
        _builder(subject, subject, key, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _make_leaf(
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    ca: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    for_clients: bool = False,
) -> x509.Certificate:
    usages = [ExtendedKeyUsageOID.SERVER_AUTH]
    if for_clients:
        usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    # A common name holds 64 characters at most; clients read the alternative name anyway.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        _builder(subject, ca.subject, key, now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    life: dt.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour ago, for hosts with a clock that is a little behind.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except ValueError:
        raise ValueError("has an extension that can't be read; get another certificate") from None
    return extension.value.get_values_for_type(x509.DNSName)


def _addresses(certificate: x509.Certificate) -> list[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _covers(pattern: str, hostname: str) -> bool:
    """Whether a name covers a host; a wildcard is exactly the leftmost label: RFC 6125."""
    pattern, hostname = pattern.lower(), hostname.lower()
    if pattern.startswith("*."):
        return hostname.partition(".")[2] == pattern[2:]
    return pattern == hostname


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> SecretStr:
    return SecretStr(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )


def _load_key(pem: str) -> PrivateKeyTypes:
    return serialization.load_pem_private_key(pem.encode(), password=None)


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

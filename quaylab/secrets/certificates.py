"""The lab's CA and the registry's certificate, or the check of the user's own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from quaylab import tls
from quaylab.secrets.credentials import Credentials

CA_LIFE = dt.timedelta(days=3650)
# Apple's and most browsers' limit for a server certificate is 398 days.
LEAF_LIFE = dt.timedelta(days=397)
RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True)
class ServerCertificate:
    """What Quay serves, as PEM: the certificate with its chain, its key, and the CA if ours."""

    certificate: str
    key: SecretStr
    ca: str | None

    @property
    def trusted(self) -> str:
        """What a client has to trust: our CA, or else the very certificate that is served."""
        return self.ca or self.certificate


def own_authority(
    credentials: Credentials, hostname: str, now: dt.datetime | None = None
) -> Credentials:
    """Credentials with a CA and a certificate for ``hostname``, made or renewed where due."""
    now = now or dt.datetime.now(dt.timezone.utc)
    if not _due(credentials.certificate, [hostname], now):
        return credentials
    # Adopted credentials have no key of the CA, and no certificate outlives its CA: then clients
    # get to know a new one.
    ca_pem = credentials.ca_certificate
    if not ca_pem or not credentials.ca_key or _ends(ca_pem) < now + LEAF_LIFE:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        made = _make_ca(ca_key, f"Quaylab CA {credentials.identity}", now)
        credentials = credentials.model_copy(
            update={"ca_certificate": _pem(made), "ca_key": _key_pem(ca_key)}
        )
    ca, signer = _authority(credentials)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _make_leaf(key, [hostname], ca, signer, now)
    return credentials.model_copy(
        update={"certificate": _pem(leaf), "certificate_key": _key_pem(key)}
    )


def with_ceph(
    credentials: Credentials,
    hostname: str,
    addresses: Sequence[str],
    now: dt.datetime | None = None,
) -> Credentials:
    """Credentials with Ceph's certificate for ``addresses``, by the CA of ``hostname``'s."""
    now = now or dt.datetime.now(dt.timezone.utc)
    ca_pem, made = credentials.ca_certificate, credentials.ceph_certificate
    # By a CA that was lost since, it is made anew.
    if ca_pem and made and is_by(made, ca_pem) and not _due(made, addresses, now):
        return credentials
    if not credentials.ca_key:
        # Then there is no CA yet, or it was lost and nothing new can be signed by it.
        due = credentials.model_copy(update={"certificate": None})
        credentials = own_authority(due, hostname, now)
    ca, signer = _authority(credentials)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _make_leaf(key, addresses, ca, signer, now)
    return credentials.model_copy(
        update={"ceph_certificate": _pem(leaf), "ceph_certificate_key": _key_pem(key)}
    )


def own(credentials: Credentials) -> ServerCertificate:
    """The certificate that :func:`own_authority` made."""
    assert credentials.certificate and credentials.certificate_key
    return ServerCertificate(
        credentials.certificate, credentials.certificate_key, credentials.ca_certificate
    )


def check(certificate: Path, key: Path, hostname: str, now: dt.datetime | None = None) -> list[str]:
    """What is wrong with the user's own certificate: form, key, name, date and chain."""
    now = now or dt.datetime.now(dt.timezone.utc)
    try:
        leaf, *chain = read(certificate)
        names = _names(leaf)
    except ValueError as error:
        return [f"tls_certificate: {certificate} {error}"]
    try:
        private = _load_key(key.read_text())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return [f"tls_key: {key} is no PEM private key without a passphrase"]
    problems = []
    belonging = _public(private.public_key())
    if belonging in [_public(each.public_key()) for each in chain]:
        return [f"tls_certificate: in {certificate} the registry's own has to be the first one"]
    if belonging != _public(leaf.public_key()):
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
        # What else a client could have against it, such as a key that is too short.
        try:
            tls.rehearse(certificate, key, hostname)
        except ssl.SSLError as error:
            problems.append(f"tls_certificate: {certificate} can't be served: {error}")
    return problems


def _chain_problems(
    file: Path, leaf: x509.Certificate, chain: Sequence[x509.Certificate], now: dt.datetime
) -> Iterator[str]:
    """What keeps clients from getting from a certificate to its root by what stands after it."""
    left = list(chain)
    if left and not any(_is_issuer(each, leaf) for each in left):
        yield (
            f"tls_certificate: none of the {len(left)} after the first in {file} issued that; put "
            "the issuer's there, and then the issuer's issuer's"
        )
    below = leaf
    while issuers := [each for each in left if _is_issuer(each, below)]:
        # A root may be there in two versions.
        below = max(issuers, key=lambda each: each.not_valid_after_utc)
        if below.not_valid_after_utc <= now:
            name, last = below.subject.rfc4514_string(), below.not_valid_after_utc
            yield f"tls_certificate: {name} in its chain expired on {last:%Y-%m-%d}"
        left.remove(below)


def authority_problems(setting: str, file: Path, now: dt.datetime | None = None) -> Iterator[str]:
    """Why a file of CAs can't be what a server's certificate is verified with."""
    now = now or dt.datetime.now(dt.timezone.utc)
    try:
        found = read(file)
    except ValueError as error:
        yield f"{setting}: {file} {error}"
        return
    # A provider's bundle holds old ones beside new ones.
    last = max(each.not_valid_after_utc for each in found)
    if last <= now:
        yield (
            f"{setting}: {file} expired on {last:%Y-%m-%d}; get the one that signs the server's "
            "certificate now"
        )
    if not any(_is_issuer(each, each) for each in found):
        yield (
            f"{setting}: {file} holds no root, at which a chain ends; Quay takes no other for its "
            "end: add the CA that issued what is in it"
        )


def mismatches(credentials: Credentials) -> list[str]:
    """Which certificates and keys in the credentials can't be read, or don't belong together, as
    when parts of two files were put into one."""
    problems = []
    for name, key_name in (
        ("certificate", "certificate_key"),
        ("ca_certificate", "ca_key"),
        ("ceph_certificate", "ceph_certificate_key"),
    ):
        pem, key = getattr(credentials, name), getattr(credentials, key_name)
        try:
            public = pem and _public(x509.load_pem_x509_certificate(pem.encode()).public_key())
            private = key and _public(_load_key(key.get_secret_value()).public_key())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            problems.append(f"{name} or {key_name} is no PEM text")
            continue
        adopted = name == "ca_certificate" and pem and key is None
        if public != private and not adopted:
            problems.append(f"{name} and {key_name} don't belong together")
    if problems:
        return problems
    ca, certificate = credentials.ca_certificate, credentials.certificate
    if bool(ca) != bool(certificate) or (ca and certificate and not is_by(certificate, ca)):
        problems.append("certificate is not by the CA in ca_certificate")
    return problems


def is_by(certificate: str, ca: str) -> bool:
    """Whether a CA issued a certificate; both are PEM."""
    leaf, issuer = (x509.load_pem_x509_certificate(pem.encode()) for pem in (certificate, ca))
    return _is_issuer(issuer, leaf)


def read(file: Path) -> list[x509.Certificate]:
    """The certificates of a file that is handed to hosts and clients as it is.

    Raises:
        ValueError: why it can't be, as the end of a sentence that begins with the file's name.
    """
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
        text = file.read_text()
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8; leave only the PEM blocks in it") from None
    except ValueError:
        raise ValueError("is no PEM certificate") from None
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


def _authority(credentials: Credentials) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The lab's CA and its key."""
    assert credentials.ca_certificate and credentials.ca_key
    signer = _load_key(credentials.ca_key.get_secret_value())
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(credentials.ca_certificate.encode()), signer


def _due(certificate: str | None, names: Sequence[str], now: dt.datetime) -> bool:
    if certificate is None:
        return True
    leaf = x509.load_pem_x509_certificate(certificate.encode())
    missing = set(names) - {*_names(leaf), *_addresses(leaf)}
    return bool(missing) or leaf.not_valid_after_utc - now < RENEW_BEFORE


def _ends(certificate: str) -> dt.datetime:
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
) -> x509.Certificate:
    # A common name holds 64 characters at most; clients read the alternative name anyway.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        _builder(subject, ca.subject, key, now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_name, names))), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
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
        # An hour back, for hosts whose clocks are a little behind.
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
    """RFC 6125: a wildcard stands for exactly one label, the leftmost."""
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

"""The lab's own CA and certificate, and the check of the user's."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials
from tests.authority import Authority, PrivateKey
from tests.unit.samples import CREDENTIALS

NAME = "quay.example.com"
# The real time, because a handshake uses the clock itself.
NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)


def _certificate(credentials: Credentials) -> x509.Certificate:
    assert credentials.certificate
    return x509.load_pem_x509_certificate(credentials.certificate.encode())


def _verify(credentials: Credentials, name: str, at: dt.datetime) -> None:
    """Verify as a TLS client does that trusts the lab's CA only."""
    assert credentials.ca_certificate
    ca = x509.load_pem_x509_certificate(credentials.ca_certificate.encode())
    verifier = PolicyBuilder().store(Store([ca])).time(at).build_server_verifier(x509.DNSName(name))
    verifier.verify(_certificate(credentials), [])


@pytest.fixture(scope="module")
def made() -> Credentials:
    return certificates.with_server_certificate(CREDENTIALS, NAME, NOW)


def test_clients_accept_the_labs_certificate(made: Credentials) -> None:
    _verify(made, NAME, NOW)


def test_clients_with_slow_clocks_accept_it(made: Credentials) -> None:
    _verify(made, NAME, NOW - dt.timedelta(minutes=50))


@pytest.mark.parametrize(
    ("name", "at"),
    [("other.example.com", NOW), (NAME, NOW + 400 * DAY), (NAME, NOW - DAY)],
    ids=["another name", "too late", "too early"],
)
def test_clients_refuse_another_name_or_time(made: Credentials, name: str, at: dt.datetime) -> None:
    with pytest.raises(VerificationError):
        _verify(made, name, at)


def test_key_belongs_to_the_certificate(made: Credentials) -> None:
    served = certificates.server_certificate(made)
    key = serialization.load_pem_private_key(served.key.get_secret_value().encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert _certificate(made).public_key() == key.public_key()
    assert served.ca == made.ca_certificate


def test_a_name_that_is_too_long_for_a_common_name() -> None:
    name = f"{'quay.' * 20}example.com"
    _verify(certificates.with_server_certificate(CREDENTIALS, name, NOW), name, NOW)


@pytest.mark.parametrize(("days_left", "renewed"), [(31, False), (29, True), (-1, True)], ids=str)
def test_certificate_is_renewed_before_it_ends(
    made: Credentials, days_left: int, renewed: bool
) -> None:
    later = _certificate(made).not_valid_after_utc - days_left * DAY
    after = certificates.with_server_certificate(made, NAME, later)
    assert (after.certificate != made.certificate) is renewed
    assert after.ca_certificate == made.ca_certificate
    _verify(after, NAME, later)


def test_no_certificate_outlives_its_ca(made: Credentials) -> None:
    """Runs renew for longer than a CA's life; clients accept each certificate to its last day."""
    credentials, authorities = made, {made.ca_certificate}
    for _ in range(24):
        last = _certificate(credentials).not_valid_after_utc - DAY
        _verify(credentials, NAME, last)
        credentials = certificates.with_server_certificate(credentials, NAME, last)
        authorities.add(credentials.ca_certificate)
    assert len(authorities) == 3


def test_new_name_is_a_new_certificate_of_the_same_ca(made: Credentials) -> None:
    after = certificates.with_server_certificate(made, "registry.example.com", NOW)
    assert after.ca_certificate == made.ca_certificate
    assert after.ca_key == made.ca_key
    _verify(after, "registry.example.com", NOW)


def test_nothing_changes_if_nothing_is_due(made: Credentials) -> None:
    assert certificates.with_server_certificate(made, NAME, NOW + DAY) == made


def test_each_lab_has_its_own_ca(made: Credentials) -> None:
    other = certificates.with_server_certificate(CREDENTIALS, NAME, NOW)
    assert other.ca_certificate != made.ca_certificate
    with pytest.raises(VerificationError):
        _verify(made.model_copy(update={"ca_certificate": other.ca_certificate}), NAME, NOW)


# --- the user's own ---


class UserFiles:
    """A user's certificate and key on this machine."""

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "quay.crt"
        self.key = directory / "quay.key"
        self._key = ec.generate_private_key(ec.SECP256R1())

    def write(
        self,
        names: tuple[str, ...] = (NAME,),
        start: dt.datetime = NOW - DAY,
        end: dt.datetime = NOW + DAY,
    ) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The user's")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(end)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        pem = serialization.Encoding.PEM
        self.certificate.write_bytes(builder.sign(self._key, SHA256()).public_bytes(pem))
        self.write_key(serialization.NoEncryption())

    def write_key(self, encryption: serialization.KeySerializationEncryption) -> None:
        form = serialization.PrivateFormat.PKCS8
        self.key.write_bytes(self._key.private_bytes(serialization.Encoding.PEM, form, encryption))

    def check(self, hostname: str = NAME) -> list[str]:
        return certificates.check(self.certificate, self.key, hostname, NOW)


@pytest.fixture
def users(tmp_path: Path) -> UserFiles:
    files = UserFiles(tmp_path)
    files.write()
    return files


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        (NAME, NAME),
        ("QUAY.example.com", NAME),
        ("*.example.com", NAME),
        ("*.Example.com", NAME),
    ],
)
def test_names_that_cover_the_hostname(users: UserFiles, name: str, hostname: str) -> None:
    users.write(names=("other.example.org", name))
    assert users.check(hostname) == []


@pytest.mark.parametrize(
    ("names", "covered"),
    [
        (("registry.example.com",), "registry.example.com"),
        (("*.example.com",), "*.example.com"),
        (("*.lab.example.com",), "*.lab.example.com"),
        (("q*.lab.example.com", "*"), "q*.lab.example.com, *"),
        ((), "no name"),
    ],
    ids=["another", "wildcard for one label", "wildcard is no name", "partial wildcard", "none"],
)
def test_names_that_do_not_cover_the_hostname(
    users: UserFiles, names: tuple[str, ...], covered: str
) -> None:
    users.write(names=names)
    hostname = "lab.example.com" if names == ("*.lab.example.com",) else "quay.lab.example.com"
    (problem,) = users.check(hostname)
    assert problem.startswith(f"tls_certificate: is for {covered}, not for")
    assert hostname in problem


def test_key_of_another_certificate(users: UserFiles, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = UserFiles(tmp_path / "other")
    other.write()
    users.key.write_bytes(other.key.read_bytes())
    (problem,) = users.check()
    assert problem == f"tls_key: {users.key} does not belong to {users.certificate}"


def _encrypt(files: UserFiles) -> None:
    files.write_key(serialization.BestAvailableEncryption(b"passphrase"))


def _put_before(files: UserFiles, content: bytes) -> None:
    files.certificate.write_bytes(content + files.certificate.read_bytes())


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda files: files.write(end=NOW - dt.timedelta(hours=1)), "tls_certificate: expired on"),
        (lambda files: files.write(start=NOW + DAY / 2), "tls_certificate: not valid before"),
        (lambda files: files.certificate.write_bytes(b"\x30\x82"), "is not a PEM certificate"),
        (lambda files: files.certificate.write_text(""), "is not a PEM certificate"),
        (lambda files: _put_before(files, "# München\n".encode("latin-1")), "not text in UTF-8"),
        (lambda files: _put_before(files, files.key.read_bytes()), "holds a private key as well"),
        (lambda files: files.key.write_text("hunter2"), "is not a PEM private key"),
        (lambda files: files.key.write_bytes(b"\xff\x00"), "is not a PEM private key"),
        (_encrypt, "is not a PEM private key without a passphrase"),
    ],
    ids=[
        "expired",
        "not yet",
        "DER",
        "empty",
        "Latin-1",
        "with its key",
        "garbage key",
        "binary key",
        "encrypted key",
    ],
)
def test_unusable_files(
    users: UserFiles, damage: Callable[[UserFiles], object], problem: str
) -> None:
    damage(users)
    (found,) = users.check()
    assert problem in found
    assert "hunter2" not in found


def test_all_problems_are_reported(users: UserFiles) -> None:
    users.write(names=("other.example.com",), end=NOW - dt.timedelta(hours=1))
    assert len(users.check()) == 2


def test_now_is_the_default(users: UserFiles) -> None:
    today = dt.datetime.now(dt.timezone.utc)
    users.write(start=today - DAY, end=today + DAY)
    assert certificates.check(users.certificate, users.key, NAME) == []


# --- its chain ---


def _served(
    tmp_path: Path,
    signed_by: Authority,
    *others: Authority,
    first: str = "",
    server_key: PrivateKey | None = None,
) -> list[str]:
    """Return the problems of a certificate, with ``first`` before and ``others`` after it."""
    certificate, key = signed_by.sign(NAME, server_key=server_key)
    (tmp_path / "quay.crt").write_text(first + certificate + "".join(each.pem for each in others))
    (tmp_path / "quay.key").write_text(key)
    return certificates.check(tmp_path / "quay.crt", tmp_path / "quay.key", NAME, NOW)


def test_a_complete_chain(tmp_path: Path) -> None:
    root = Authority.new()
    between = Authority.new("Between", issuer=root)
    assert _served(tmp_path, between, between, root) == []
    assert _served(tmp_path, between, root, between) == [], "clients put it in order"


def test_a_private_ca_of_openssl(tmp_path: Path) -> None:
    authority = Authority.by_openssl(tmp_path)
    assert _served(tmp_path, authority, authority) == []
    assert _served(tmp_path, authority) == []


def test_a_chain_of_another_certificate(tmp_path: Path) -> None:
    (problem,) = _served(tmp_path, Authority.new(), Authority.new("Another"))
    assert problem.startswith("tls_certificate: no certificate after the first in ")


def test_a_chain_with_an_expired_link(tmp_path: Path) -> None:
    between = Authority.new("Between", days=-1, issuer=Authority.new())
    (problem,) = _served(tmp_path, between, between)
    assert problem.startswith("tls_certificate: CN=Between in its chain expired on ")


def test_a_chain_that_begins_with_the_ca(tmp_path: Path) -> None:
    root = Authority.new()
    (problem,) = _served(tmp_path, root, first=root.pem)
    assert problem.startswith(
        "tls_certificate: the registry's own certificate has to be the first "
    )


def test_a_certificate_that_no_client_accepts(tmp_path: Path) -> None:
    """Its key is too short for OpenSSL."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505
    (problem,) = _served(tmp_path, Authority.new(), server_key=key)
    assert problem.startswith("tls_certificate: ")
    assert "KEY_TOO_SMALL" in problem


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        (rsa.generate_private_key(65537, 2048), False),
        (rsa.generate_private_key(65537, 3072), True),
        (ec.generate_private_key(ec.SECP256R1()), True),
    ],
    ids=["RSA of 2048 bits", "RSA of 3072 bits", "P-256, as Quaylab makes them"],
)
def test_the_policy_of_this_machine_counts(tmp_path: Path, key: PrivateKey, fits: bool) -> None:
    """As RHEL's crypto policy FUTURE, which asks OpenSSL for 128 bits of security."""
    policy = tmp_path / "openssl.cnf"
    policy.write_text(
        "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = policy\n"
        "[policy]\nCipherString = DEFAULT@SECLEVEL=3\n"
    )
    assert _served(tmp_path, Authority.new(), server_key=key) == []
    files = f"Path({str(tmp_path / 'quay.crt')!r}), Path({str(tmp_path / 'quay.key')!r})"
    program = (
        "from pathlib import Path; from quaylab.secrets import certificates; "
        f"print(certificates.check({files}, {NAME!r}))"
    )
    # OpenSSL reads its configuration once, when a process starts.
    under_policy = {**os.environ, "OPENSSL_CONF": str(policy)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=under_policy,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("EE_KEY_TOO_SMALL" in done.stdout) is not fits
    assert (done.stdout.strip() == "[]") is fits


def test_generated_parts_belong_together(made: Credentials) -> None:
    assert certificates.mismatches(CREDENTIALS) == []
    assert certificates.mismatches(made) == []
    assert (
        certificates.mismatches(certificates.with_ceph_certificate(made, NAME, ["10.0.0.5"], NOW))
        == []
    )
    assert certificates.mismatches(made.model_copy(update={"ca_key": None})) == []


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("certificate", "certificate and certificate_key don't belong together"),
        ("certificate_key", "certificate and certificate_key don't belong together"),
        ("ca_certificate", "ca_certificate and ca_key don't belong together"),
        ("ca_key", "ca_certificate and ca_key don't belong together"),
    ],
)
def test_a_part_of_another_run_is_found(made: Credentials, key: str, problem: str) -> None:
    other = certificates.with_server_certificate(CREDENTIALS, NAME, NOW)
    mixed = made.model_copy(update={key: getattr(other, key)})
    assert certificates.mismatches(mixed) == [problem]


def test_a_certificate_by_another_ca_is_found(made: Credentials) -> None:
    other = certificates.with_server_certificate(CREDENTIALS, NAME, NOW)
    changes = {key: getattr(other, key) for key in ("certificate", "certificate_key")}
    (problem,) = certificates.mismatches(made.model_copy(update=changes))
    assert problem == "certificate is not by the CA in ca_certificate"


@pytest.mark.parametrize("key", ["certificate", "ca_certificate", "certificate_key"])
def test_a_truncated_certificate_or_key_is_found(made: Credentials, key: str) -> None:
    whole = made.plain_values()
    cut = Credentials.model_validate({**whole, key: whole[key][:-40]})
    assert any(problem.endswith("is not PEM text") for problem in certificates.mismatches(cut))


@pytest.mark.parametrize("key", ["certificate", "certificate_key", "ca_certificate"])
def test_a_missing_part_is_found(made: Credentials, key: str) -> None:
    assert certificates.mismatches(made.model_copy(update={key: None}))


def test_a_certificate_whose_names_cannot_be_read(tmp_path: Path) -> None:
    certificate, key = tmp_path / "quay.crt", tmp_path / "quay.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=quay", "-addext", "subjectAltName=DER:04:02:05:00",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    (problem,) = certificates.check(certificate, key, NAME)
    assert problem.startswith(f"tls_certificate: {certificate} has an extension that can't be read")


# --- the certificate of the database's members ---

NAMES = ("quaylab-router", "192.168.254.51", "fd00::52", "db3.internal")


def _members(credentials: Credentials) -> x509.Certificate:
    assert credentials.database_certificate
    return x509.load_pem_x509_certificate(credentials.database_certificate.encode())


@pytest.fixture(scope="module")
def cluster(made: Credentials) -> Credentials:
    return certificates.with_database_certificate(made, NAME, NAMES, NOW)


def test_members_are_verified_by_the_routers_name_and_by_their_addresses(
    cluster: Credentials,
) -> None:
    assert cluster.ca_certificate
    ca = x509.load_pem_x509_certificate(cluster.ca_certificate.encode())
    builder = PolicyBuilder().store(Store([ca])).time(NOW)
    for name in NAMES:
        try:
            subject: x509.DNSName | x509.IPAddress = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            subject = x509.DNSName(name)
        builder.build_server_verifier(subject).verify(_members(cluster), [])
    with pytest.raises(VerificationError):
        builder.build_server_verifier(x509.DNSName(NAME)).verify(_members(cluster), [])


def test_members_are_clients_of_each_other(cluster: Credentials) -> None:
    assert cluster.ca_certificate
    ca = x509.load_pem_x509_certificate(cluster.ca_certificate.encode())
    verifier = PolicyBuilder().store(Store([ca])).time(NOW).build_client_verifier()
    verifier.verify(_members(cluster), [])
    with pytest.raises(VerificationError):
        verifier.verify(_certificate(cluster), [])


def test_the_registrys_own_certificate_stays(made: Credentials, cluster: Credentials) -> None:
    assert cluster.certificate == made.certificate
    assert cluster.ca_certificate == made.ca_certificate
    assert certificates.mismatches(cluster) == []


def test_the_members_certificate_stays_while_nothing_is_due(cluster: Credentials) -> None:
    again = certificates.with_database_certificate(cluster, NAME, NAMES, NOW + DAY)
    assert again == cluster


def test_another_member_is_another_certificate_of_the_same_ca(cluster: Credentials) -> None:
    names = (*NAMES, "192.168.254.54")
    after = certificates.with_database_certificate(cluster, NAME, names, NOW)
    assert after.database_certificate != cluster.database_certificate
    assert after.database_certificate_key != cluster.database_certificate_key
    assert after.ca_certificate == cluster.ca_certificate


@pytest.mark.parametrize(("days_left", "renewed"), [(31, False), (29, True), (-1, True)], ids=str)
def test_the_members_certificate_is_renewed_before_it_ends(
    cluster: Credentials, days_left: int, renewed: bool
) -> None:
    later = _members(cluster).not_valid_after_utc - days_left * DAY
    after = certificates.with_database_certificate(cluster, NAME, NAMES, later)
    assert (after.database_certificate != cluster.database_certificate) is renewed


def test_a_former_cas_certificate_is_replaced(cluster: Credentials) -> None:
    another = certificates.with_server_certificate(CREDENTIALS, NAME, NOW)
    fields = ("ca_certificate", "ca_key", "certificate", "certificate_key")
    changed = cluster.model_copy(update={key: getattr(another, key) for key in fields})
    after = certificates.with_database_certificate(changed, NAME, NAMES, NOW)
    assert after.ca_certificate == another.ca_certificate
    assert after.database_certificate != cluster.database_certificate


def test_without_a_ca_there_is_a_new_one() -> None:
    """As with a certificate of yours."""
    after = certificates.with_database_certificate(CREDENTIALS, NAME, NAMES, NOW)
    assert after.ca_certificate and after.ca_key
    assert certificates.mismatches(after) == []


def test_a_ca_that_ends_before_the_members_certificate_is_replaced(made: Credentials) -> None:
    """As with a certificate of yours, when nothing else renews the CA."""
    later = NOW + certificates.CA_LIFE - certificates.LEAF_LIFE + DAY
    after = certificates.with_database_certificate(made, NAME, NAMES, later)
    assert after.ca_certificate and made.ca_certificate
    ca = x509.load_pem_x509_certificate(after.ca_certificate.encode())
    assert ca.not_valid_after_utc >= _members(after).not_valid_after_utc
    assert after.database_certificate
    assert certificates.is_signed_by(after.database_certificate, after.ca_certificate)
    assert certificates.mismatches(after) == []
    day_before = certificates.with_database_certificate(made, NAME, NAMES, later - DAY)
    assert day_before.ca_certificate == made.ca_certificate


def test_a_members_key_of_another_run_is_noticed(cluster: Credentials) -> None:
    other = certificates.with_database_certificate(cluster, NAME, ["db1"], NOW)
    mixed = cluster.model_copy(update={"database_certificate_key": other.database_certificate_key})
    assert certificates.mismatches(mixed) == [
        "database_certificate and database_certificate_key don't belong together"
    ]

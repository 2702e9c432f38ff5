"""The checks of Quay's own validator when a container starts: certificate, database, Redis."""

import ipaddress
import ssl

import redis
from cryptography import x509
from sqlalchemy import Engine, text

from standin import StartError, drivers, events, minor_version
from standin.config import Settings

# From v3.17.0 on upstream's migrations are written for PostgreSQL only.
LAST_WITH_MYSQL = (3, 16)


def check_bundle(settings: Settings) -> None:
    """Check what needs no network: the storage's driver and the certificate."""
    drivers.registry_configuration(settings)
    drivers.check(settings)
    _check_certificate(settings)


def _check_certificate(settings: Settings) -> None:
    """Check, with https, that the certificate belongs to the key and to SERVER_HOSTNAME."""
    if not settings.serves_tls:
        if settings.scheme == "https" and not settings.values.get("EXTERNAL_TLS_TERMINATION"):
            raise StartError(
                "PREFERRED_URL_SCHEME is https, but ssl.cert and ssl.key are not there"
            )
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.key)
        certificate = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise StartError(f"ssl.cert and ssl.key do not belong together: {reason}") from error
    host = settings.hostname.partition(":")[0]
    if not _names(certificate, host):
        raise StartError(f"ssl.cert does not name SERVER_HOSTNAME {host}")


def _names(certificate: x509.Certificate, host: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        accepted = {host.lower(), "*." + host.lower().partition(".")[2]}
        return any(name.lower() in accepted for name in names.get_values_for_type(x509.DNSName))


def check_database(engine: Engine) -> None:
    """Check that PostgreSQL has pg_trgm; MySQL needs latin1, and a Quay that supports it."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            found = connection.execute(
                text("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
            )
            if not found.scalar():
                raise StartError(f"the database {engine.url.database} lacks the extension pg_trgm")
            return
        if minor_version() > LAST_WITH_MYSQL:
            raise StartError("Quay's migrations need PostgreSQL from v3.17.0 on; DB_URI is MySQL")
        charset = connection.execute(
            text(
                "SELECT default_character_set_name FROM information_schema.schemata"
                " WHERE schema_name = DATABASE()"
            )
        ).scalar()
        if charset != "latin1":
            raise StartError(
                f"the database {engine.url.database} has character set {charset}; Quay needs latin1"
            )


def check_redis(settings: Settings) -> None:
    """Check that both Redis entries answer with the given password."""
    for key in ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS"):
        try:
            events.client(settings, key).ping()
        except redis.RedisError as error:
            raise StartError(f"{key} does not answer: {' '.join(str(error).split())}") from error

"""The certificate that the registry serves, and who trusts it."""

from __future__ import annotations

import datetime as dt
import socket
import ssl

import pytest
from cryptography import x509

from quaylab import tls
from quaylab.secrets import certificates, credentials
from tests.hosts.lab import Lab, Target
from tests.hosts.places import RegistryPlace

TIMEOUT = 10


def test_is_the_planned_one_for_the_registrys_name(registry_place: RegistryPlace, lab: Lab) -> None:
    """The handshake checks chain and name."""
    certificate = registry_place.certificate
    planned = x509.load_pem_x509_certificates(certificate.certificate.encode())[0]
    assert _served(registry_place, lab, certificate.trusted) == planned


def test_is_valid_for_a_month_at_least(registry_place: RegistryPlace, lab: Lab) -> None:
    left = _served(
        registry_place, lab, registry_place.certificate.trusted
    ).not_valid_after_utc - dt.datetime.now(dt.timezone.utc)
    assert left > certificates.RENEW_BEFORE, f"{left.days} days left"


def test_is_not_trusted_without_the_labs_ca(lab_ca_registry: RegistryPlace, lab: Lab) -> None:
    """Another lab's CA, made in the same way, is not enough."""
    other = certificates.with_server_certificate(credentials.generate(), lab.plan.topology.hostname)
    assert other.ca_certificate
    with pytest.raises(ssl.SSLCertVerificationError):
        _served(lab_ca_registry, lab, other.ca_certificate)


def test_the_engine_trusts_the_labs_ca(lab_ca_host: Target, lab: Lab) -> None:
    trust = lab.plan.engine_of(lab_ca_host.name).trust(lab.plan.topology.registry)
    file = lab_ca_host.shell.file(trust)
    assert file.exists
    assert file.content_string == lab.plan.certificate.ca


def _served(place: RegistryPlace, lab: Lab, trusted: str) -> x509.Certificate:
    where = lab.plan.topology
    with (
        place.target.through(place.address, place.port) as address,
        socket.create_connection(address, TIMEOUT) as plain,
        tls.registry_context(trusted).wrap_socket(plain, server_hostname=where.hostname) as secure,
    ):
        served = secure.getpeercert(binary_form=True)
    assert served is not None  # a server without one fails in the handshake
    return x509.load_der_x509_certificate(served)

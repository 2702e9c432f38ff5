"""TLS contexts: what they accept doesn't depend on Python's version."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from quaylab import tls
from tests.unit.samples import certified

CA = certified().ca_certificate or ""


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ssl's default context be as strict as that of Python 3.13."""
    default = ssl.create_default_context

    def create_default_context() -> ssl.SSLContext:
        made = default()
        made.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return made

    monkeypatch.setattr(ssl, "create_default_context", create_default_context)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tls.context(CA),
        lambda: tls.context(CA, public=True),
        lambda: tls.registry_context(CA),
    ],
    ids=["a CA", "public CAs too", "the registry's"],
)
def test_a_ca_as_openssl_makes_it_is_accepted(make: Callable[[], ssl.SSLContext]) -> None:
    """Without keyUsage, as Quay accepts it."""
    context = make()
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_chain_does_not_end_at_an_intermediate_ca() -> None:
    assert not tls.context(CA).verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN

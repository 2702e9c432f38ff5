"""Adopted credentials are those that the bundle was made from."""

from __future__ import annotations

import pytest

from quaylab.problems import Refusal
from quaylab.secrets import certificates
from quaylab.secrets.adoption import adopt
from quaylab.services import quay_config
from tests.unit.samples import certified, one_host, settings

PASSWORD = "superuser-password"


def _bundle() -> dict[str, str]:
    made = certified()
    served = certificates.server_certificate(made)
    config = quay_config.build(settings(), one_host(), made)
    return {
        "config.yaml": quay_config.render(config),
        "ssl.cert": served.certificate,
        "ssl.key": served.key.get_secret_value(),
        "ca.crt": served.ca or "",
    }


def test_everything_but_the_cas_key_is_read_back() -> None:
    made = certified()
    bundle = _bundle()
    found = adopt(made.identity, PASSWORD, bundle)
    certificate = {
        "ca_certificate": bundle["ca.crt"],
        "certificate": bundle["ssl.cert"],
        "certificate_key": bundle["ssl.key"],
    }
    assert found.plain_values() == {**made.plain_values(), **certificate, "ca_key": None}


def test_adopted_certificate_is_used_until_it_is_due() -> None:
    found = adopt("id", PASSWORD, _bundle())
    assert certificates.with_server_certificate(found, "quay.example.com") == found


def test_users_own_certificate_is_not_in_the_credentials() -> None:
    bundle = _bundle()
    del bundle["ca.crt"]
    assert adopt("id", PASSWORD, bundle).certificate is None


def test_a_leftover_ca_is_not_taken_for_that_of_the_users_certificate() -> None:
    other = certificates.server_certificate(certified())
    assert adopt("id", PASSWORD, {**_bundle(), "ca.crt": other.ca or ""}).ca_certificate is None


@pytest.mark.parametrize("config", ["{", "[]", "DB_URI: 7", "SERVER_HOSTNAME: x", ""])
def test_foreign_configuration_is_refused_without_quoting_it(config: str) -> None:
    with pytest.raises(Refusal) as refused:
        adopt("id", PASSWORD, {**_bundle(), "config.yaml": config})
    assert "restore the credentials from a backup" in str(refused.value)

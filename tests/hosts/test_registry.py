"""The registry works for those who may use it.

Results are named before they are asserted: pytest shows the arguments of an asserted call.
"""

from __future__ import annotations

import pytest

from quaylab.clients.registry import Registry, RegistryError
from tests.hosts.lab import Lab

REPOSITORIES = "quaylab-hosts-test-"


@pytest.mark.parametrize("scope", ["instance", "endtoend"])
def test_is_healthy(registry: Registry, scope: str) -> None:
    health = registry.health(scope)
    assert health.services
    assert not health.failing
    assert health.ok


def test_superuser_signs_in(registry: Registry, lab: Lab) -> None:
    user, password = _superuser(lab)
    signed_in = registry.sign_in(user, password)
    assert signed_in
    assert registry.is_superuser()


def test_refuses_a_wrong_password(registry: Registry, lab: Lab) -> None:
    """In the browser and to a Docker client."""
    user, password = _superuser(lab)
    wrong = f"not-{password}"
    try:
        signed_in = registry.sign_in(user, wrong)
        assert not signed_in
        with pytest.raises(RegistryError, match="HTTP 401"):
            registry.round_trip(user, wrong, REPOSITORIES)
    finally:
        # Failures make Quay delay a user's next sign-in, more each time, until a right one.
        signed_in = registry.sign_in(user, password)
    assert signed_in


def test_push_pull_and_delete(registry: Registry, lab: Lab) -> None:
    user, password = _superuser(lab)
    try:
        registry.round_trip(user, password, REPOSITORIES)
    finally:
        registry.sign_in(user, password)
        registry.delete_repositories(user, REPOSITORIES)


def _superuser(lab: Lab) -> tuple[str, str]:
    password = lab.plan.credentials.superuser_password
    return lab.plan.settings.quay_superuser, password.get_secret_value()

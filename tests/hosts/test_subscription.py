"""RHEL's subscription: registered, with exactly the repositories that the settings name."""

from __future__ import annotations

from facts.subscription import Registration, Repositories
from tests.hosts.lab import Lab, Target


def test_is_registered(subscribed_host: Target, lab: Lab) -> None:
    found = subscribed_host.ask(Registration())
    assert found.identity
    assert lab.plan.settings.rhsm_organization in (None, found.organization)
    assert found.release == lab.plan.settings.rhsm_release


def test_has_just_these_repositories(subscribed_repositories_host: Target, lab: Lab) -> None:
    found = subscribed_repositories_host.ask(Repositories())
    enabled = {name for name, is_enabled in found.items() if is_enabled}
    assert enabled == set(lab.plan.settings.rhsm_repositories or ())

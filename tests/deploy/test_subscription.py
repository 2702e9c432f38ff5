"""tasks/subscription.py in whole runs: what it does and refuses, and that it prints no secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.project import Project, Result, fake, report

TASK = "tasks/subscription.py"
RHEL = report(os="rhel|9.4|fedora")
CALLS = {
    "version": "| subscription-manager: {}\nrc=0",
    "registered": "| system identity: 0123\n| org ID: acme\nrc=0",
    "new": "| This system is not yet registered. Try 'subscription-manager register'\nrc=1",
    "unlocked": "| Release not set\nrc=0",
}


def _client(identity: str = "new", version: str = "1.29.40-1.el9", release: str = "new") -> str:
    """Return the client's answers about version, identity and release."""
    calls = (CALLS["version"].format(version), CALLS[identity], CALLS[release])
    return "\n".join((*calls, "| [server]\nrc=0", "| \nrc=2"))


def _run(project: Project, reports: str, client: str | None, *options: str) -> Result:
    responses: dict[str, Any] = (
        {} if client is None else {"ask subscription-manager version": client}
    )
    one = [fake("quay", reports, responses)]
    inventory = project.inventory(quay=one, database=one, redis=one)
    return project.run("-y", "-vvv", "--debug", inventory, TASK, *options)


@pytest.mark.parametrize(
    ("reports", "options", "message"),
    [
        (report(), ["--data=rhsm_organization=acme"], "@fake/quay is not a RHEL host but debian"),
        (RHEL, [], "the subscription of @fake/quay stays as it is: rhsm_organization isn't set"),
        (RHEL, ["--data=rhsm_organization=acme"], "@fake/quay has no subscription-manager"),
    ],
    ids=["Debian", "unset", "no client"],
)
def test_hosts_that_are_left_alone_are_reported_in_one_line(
    project: Project, reports: str, options: list[str], message: str
) -> None:
    result = _run(project, reports, None, *options)
    assert result.code == 0, result.output
    assert message in result.output
    assert result.operations == ["Save the credentials", "Skip the RHEL subscription"]
    assert not any("subscription-manager" in command for command in result.commands("quay"))


def test_a_new_host_is_registered_without_showing_the_secret(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUAYLAB_RHSM_ACTIVATION_KEY", "hunter2")
    options = ("--data=rhsm_organization=acme", '--data=rhsm_repositories=["a-rpms"]')
    result = _run(project, RHEL, _client(), *options)
    assert result.operations[1:] == [
        "Register the host",
        "Lock the release",
        "Enable the repositories",
    ]
    commands = result.commands("quay")
    assert any("register --org=acme --activationkey=" in each for each in commands)
    assert "hunter2" not in result.output
    assert "hunter2" not in project.credentials.read_text()
    # The fake client knows no repository.
    assert "rhsm_repositories: @fake/quay may not use a-rpms" in commands[-1]


def test_a_registered_host_needs_no_secret(project: Project) -> None:
    client = _client("registered", release="unlocked")
    result = _run(project, RHEL, client, "--data=rhsm_user=me")
    assert result.code == 0, result.output
    assert "registered as 0123" in result.output
    assert not any("register" in command for command in result.commands("quay"))


@pytest.mark.parametrize(
    ("client", "options", "message"),
    [
        (_client(), ["rhsm_user=me"], "QUAYLAB_RHSM_PASSWORD: not set, and there is no terminal"),
        (
            _client("registered", "1.30.6-1.el10", "unlocked"),
            ["rhsm_organization=acme", "rhsm_pool=8a85f"],
            "rhsm_pool: @fake/quay has subscription-manager 1.30, which can't attach a pool",
        ),
        (
            _client("registered", release="unlocked"),
            ["rhsm_organization=other"],
            "rhsm_organization: @fake/quay is registered with acme, not other",
        ),
        (_client(), ["rhsm_pool=8a85f"], "rhsm_pool: set without rhsm_organization and rhsm_user"),
    ],
    ids=["no password", "no pools", "another organization", "half set"],
)
def test_refused_before_anything_is_changed(
    project: Project, client: str, options: list[str], message: str
) -> None:
    result = _run(project, RHEL, client, *(f"--data={option}" for option in options))
    assert result.code == 1
    assert message in result.output
    assert result.operations == []
    assert result.commands("quay") == []
    assert not project.credentials.exists()

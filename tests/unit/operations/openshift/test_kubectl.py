"""Calls of kubectl: what is in the command line, and what is made of the answers."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import StringCommand
from pyinfra.connectors.util import CommandOutput, OutputLine

from operations.openshift import kubectl
from operations.openshift.kubectl import ClusterError
from quaylab.openshift.cluster import Access
from quaylab.openshift.objects import DEPLOYMENT, JOB
from tests.leaks import leaked
from tests.unit import samples
from tests.unit.clusters import describe, manifests
from tests.unit.fake_host import FakeHost

ACCESS = Access("/home/me/.kube/config", "a context/with: $(signs)", "quay-enterprise")


class Answering(FakeHost):
    """A host on which every command fails with these lines."""

    def __init__(self, *lines: str) -> None:
        super().__init__()
        self.lines = lines

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        return False, CommandOutput([OutputLine("stderr", line) for line in self.lines])


def test_the_default_context_is_never_used() -> None:
    text = kubectl.command(ACCESS, "get", "pods").get_raw_value()
    assert "--kubeconfig=/home/me/.kube/config" in text
    assert "'--context=a context/with: $(signs)'" in text
    assert "--namespace=quay-enterprise" in text


def test_manifests_are_no_arguments() -> None:
    call = kubectl.applied(ACCESS, manifests(describe()))
    text = call.get_raw_value()
    assert len(text) < 500
    given = str(call.connector_arguments["_stdin"])
    assert leaked(samples.SECRETS, text) == []
    assert given.count('"kind": "Secret"') == 3


def test_deletions_name_kind_and_group() -> None:
    call: StringCommand = kubectl.deleted(ACCESS, {DEPLOYMENT: ["quaylab-quay"], JOB: ["a", "b"]})
    wanted = "delete deployments.v1.apps/quaylab-quay jobs.v1.batch/a jobs.v1.batch/b"
    assert wanted in call.get_raw_value()
    assert "--cascade=foreground" in call.get_raw_value()


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("", []),
        ('{"kind": "Secret", "name": "a"}\n', ["a"]),
        ('{"kind": "List", "items": [{"name": "a"}, {"name": "b"}]}', ["a", "b"]),
        ('{"kind": "PodList", "items": []}', []),
        ('{"kind": "Review", "name": "a"}\n{"kind": "Review", "name": "b"}\n', ["a", "b"]),
    ],
    ids=["none", "one", "list", "empty list", "several"],
)
def test_objects_in_an_answer(output: str, names: list[str]) -> None:
    assert [each["name"] for each in kubectl.parsed(output)] == names


def test_an_error_is_kubectls_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "inventory_arguments", lambda host: {})
    noise = 'E1127 05:27:23.968333    5269 memcache.go:265] "Unhandled Error" err="refused"'
    host = Answering(noise, noise, "Unable to connect to the server: refused")
    with host.current(), pytest.raises(ClusterError) as error:
        kubectl.run(host, kubectl.command(ACCESS, "get", "pods"))  # type: ignore[arg-type]
    assert str(error.value) == "Unable to connect to the server: refused"

"""Why deployments and jobs don't run, in the cluster's own words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from quaylab.openshift.workloads import Workloads
from tests.unit.clusters import SCOPE, describe

DEPLOYMENT = SCOPE.manifest(describe().quay[0])
NAME = "quaylab-quay"


def _deployment(**status: Any) -> dict[str, Any]:
    ready = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    found = copy.deepcopy(DEPLOYMENT)
    found["metadata"]["generation"] = 2
    return {**found, "status": {**ready, **status}}


def _pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    template = copy.deepcopy(DEPLOYMENT["spec"]["template"])
    return {
        "kind": "Pod",
        "metadata": {"name": "quaylab-quay-1", **template["metadata"], **metadata},
        "spec": template["spec"],
        "status": status,
    }


def _container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "quay", "ready": False, "restartCount": 0, **state}]}


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"updatedReplicas": 0}, False),
        ({"availableReplicas": 0}, False),
        ({"replicas": 2}, False),
    ],
    ids=["ready", "not looked at", "old pods", "not ready", "one more"],
)
def test_rolled_out(status: dict[str, int], done: bool) -> None:
    assert Workloads.of([_deployment(**status)]).is_rolled_out(NAME) is done


def test_how_far_a_deployment_is() -> None:
    assert Workloads.of([_deployment(availableReplicas=0)]).pods_of(NAME) == (1, 0)


def test_nothing_is_there() -> None:
    nothing = Workloads({}, {}, ())
    assert nothing.pods_of(NAME) is None
    assert not nothing.is_rolled_out(NAME)
    assert nothing.deployment_reasons(NAME) == []
    assert nothing.job_state("job") is None


@pytest.mark.parametrize(
    ("status", "text", "is_final"),
    [
        (
            _container(state={"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}),
            "quay: ImagePullBackOff: no such tag",
            True,
        ),
        (
            _container(state={"waiting": {"reason": "ErrImagePull", "message": "timeout"}}),
            "quay: ErrImagePull: timeout",
            False,
        ),
        (
            _container(
                restartCount=3,
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            ),
            "quay: CrashLoopBackOff: ended with 137 (OOMKilled)",
            True,
        ),
        (
            _container(
                restartCount=1,
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"exitCode": 1, "message": "no database\n"}},
            ),
            "quay: CrashLoopBackOff: ended with 1: no database",
            False,
        ),
        (_container(state={"running": {}}), "quay runs and is not ready", False),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no memory"}]},
            "not scheduled: no memory",
            False,
        ),
        ({"phase": "Pending"}, "not scheduled yet", False),
        (
            {
                "phase": "Pending",
                **_container(state={"waiting": {"reason": "ContainerCreating"}}),
            },
            "quay: ContainerCreating",
            False,
        ),
        # Until it is started again.
        (_container(state={"terminated": {"exitCode": 1}}), "quay: ended with 1", False),
        (
            _container(restartCount=3, state={"terminated": {"exitCode": 1}}),
            "quay: ended with 1",
            True,
        ),
    ],
)
def test_reasons(status: dict[str, Any], text: str, is_final: bool) -> None:
    found = Workloads.of([_deployment(availableReplicas=0), _pod(status)])
    (reason,) = found.deployment_reasons(NAME)
    assert str(reason) == f"pod quaylab-quay-1: {text}"
    assert reason.is_final is is_final


def test_of_a_pod_that_has_not_started_events_say_more() -> None:
    found = Workloads.of([_deployment(availableReplicas=0), _pod({"phase": "Pending"})])
    (reason,) = found.deployment_reasons(NAME)
    claim = ("PersistentVolumeClaim", "quaylab-quay-storage")
    assert reason.events_of == (("Pod", "quaylab-quay-1"), claim)


def test_pods_of_an_earlier_template_are_no_reason() -> None:
    old = _pod(
        _container(state={"waiting": {"reason": "ImagePullBackOff", "message": "gone"}}),
        annotations={"quaylab.io/configuration": "another"},
    )
    assert Workloads.of([_deployment(), old]).deployment_reasons(NAME) == []


def test_a_pod_that_is_being_deleted_is_no_reason() -> None:
    status = _container(state={"terminated": {"exitCode": 137}})
    leaving = _pod(status)
    leaving["metadata"]["deletionTimestamp"] = "2026-11-27T10:00:00Z"
    assert Workloads.of([_deployment(), leaving]).deployment_reasons(NAME) == []


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_is_no_reason(phase: str) -> None:
    """Kubernetes keeps evicted pods beside their successors."""
    ended = _container(restartCount=3, state={"terminated": {"exitCode": 137}})
    evicted = _pod({**ended, "phase": phase}, creationTimestamp="2026-11-01T10:00:00Z")
    found = Workloads.of([_deployment(), evicted])
    assert found.deployment_reasons(NAME) == []
    assert not found.started_before(NAME, [_secret(("quaylab", "2026-11-27T10:00:00Z"))])


def test_a_refused_pod() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "forbidden: by the SCC"}
    (reason,) = Workloads.of([_deployment(conditions=[condition])]).deployment_reasons(NAME)
    assert reason.is_final
    assert "forbidden: by the SCC" in str(reason)


def test_a_pod_that_a_quota_refuses_may_come_later() -> None:
    """While a rollout goes on, those that are to go count as well."""
    message = 'pods "quaylab-quay-1" is forbidden: exceeded quota: small, requested: pods=1'
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    (reason,) = Workloads.of([_deployment(conditions=[condition])]).deployment_reasons(NAME)
    assert not reason.is_final
    assert message in str(reason)


def test_a_refusal_of_an_earlier_description_is_no_reason() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "forbidden: by the SCC"}
    found = Workloads.of([_deployment(conditions=[condition], observedGeneration=1)])
    assert found.deployment_reasons(NAME) == []


@pytest.mark.parametrize("state", ["Complete", "Failed"])
def test_states_of_a_job(state: str) -> None:
    job = {"kind": "Job", "metadata": {"name": "job"}, "status": {}}
    assert Workloads.of([job]).job_state("job") == "waiting"
    ending = {**job, "metadata": {"name": "job", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert Workloads.of([ending]).job_state("job") == "ending"
    assert Workloads.of([ending]).unfinished_jobs == Workloads.of([job]).unfinished_jobs == ("job",)
    labels = {"job-name": "job"}
    pulling = _container(state={"waiting": {"reason": "ImagePullBackOff"}})
    before = [{"name": "extension", "state": {"terminated": {"exitCode": 0}}}]
    for status in (pulling, {**pulling, "initContainerStatuses": before}):
        assert Workloads.of([job, _pod(status, labels=labels)]).job_state("job") == "waiting"
    for status in ({"phase": "Running"}, _container(state={"running": {}})):
        assert Workloads.of([job, _pod(status, labels=labels)]).job_state("job") == "running"
    ended = {**job, "status": {"conditions": [{"type": state, "status": "True"}]}}
    assert Workloads.of([ended]).job_state("job") == state
    assert Workloads.of([ended]).unfinished_jobs == ()


def test_a_failed_job_says_its_last_words() -> None:
    status = _container(state={"terminated": {"exitCode": 1, "message": "no such table"}})
    pod = _pod(status, labels={"job-name": "migrate"})
    pod["spec"]["restartPolicy"] = "Never"
    (reason,) = Workloads.of([pod]).job_reasons("migrate")
    assert reason.is_final
    assert str(reason) == "pod quaylab-quay-1: quay: ended with 1: no such table"
    assert Workloads.of([pod]).job_reasons("other") == []


def _secret(*changes: tuple[str, str]) -> dict[str, Any]:
    entries = [{"manager": manager, "time": time} for manager, time in changes]
    return {"metadata": {"name": "quaylab-quay-bundle", "managedFields": entries}}


@pytest.mark.parametrize(
    ("changes", "is_older"),
    [
        ([("quaylab", "2026-11-27T10:00:00Z")], False),
        ([("quaylab", "2026-11-27T10:00:01Z")], True),
        # Others may add what they like.
        ([("quaylab", "2026-11-27T09:00:00Z"), ("kubectl", "2026-11-27T11:00:00Z")], False),
        ([], False),
    ],
    ids=["before", "after", "others", "unknown"],
)
def test_pods_that_are_older_than_their_secrets(
    changes: list[tuple[str, str]], is_older: bool
) -> None:
    pod = _pod({}, creationTimestamp="2026-11-27T10:00:00Z")
    found = Workloads.of([_deployment(), pod])
    assert found.started_before(NAME, [_secret(*changes)]) is is_older
    assert not found.started_before("another", [_secret(*changes)])


def test_the_secrets_that_pods_read() -> None:
    description = describe()
    manifests = [SCOPE.manifest(each) for each in (*description.database, *description.quay)]
    found = Workloads.of(manifests)
    assert found.secrets_of(NAME) == {"quaylab-quay-bundle"}
    assert found.secrets_of("quaylab-database") == {"quaylab-database"}
    assert found.secrets_of("another") == set()

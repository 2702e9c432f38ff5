"""The state of deployments and jobs, and why their pods don't run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from quaylab.openshift.objects import (
    CLAIM,
    COMPONENT,
    CONFIGURATION,
    FIELD_MANAGER,
    Manifest,
    is_ending,
)

# A container waits for one of these until somebody changes something.
HOPELESS = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
)
# What a quota's refusal of a pod says. It may have room once a pod that is to go has ended, and the
# cluster tries it again after ever longer times.
QUOTA = "exceeded quota"
CRASHES = "CrashLoopBackOff"
# The phases of pods whose containers have ended for good.
ENDED = ("Succeeded", "Failed")
# How often a container may end and be started again before a run gives up.
MOST_RESTARTS = 3


@dataclass(frozen=True)
class Reason:
    """Why a pod doesn't run.

    Attributes:
        container: one that has ended or isn't ready, whose log may say more.
        events_of: kind and name of each object whose events may say more: the pod and its claims.
    """

    pod: str
    text: str
    is_final: bool
    container: str = ""
    events_of: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"pod {self.pod}: {self.text}"


@dataclass(frozen=True)
class Workloads:
    """The registry's deployments, jobs and pods."""

    deployments: Mapping[str, Manifest]
    jobs: Mapping[str, Manifest]
    pods: Sequence[Manifest]

    @classmethod
    def of(cls, manifests: Sequence[Manifest]) -> Workloads:
        def named(kind: str) -> dict[str, Manifest]:
            return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}

        pods = [each for each in manifests if each["kind"] == "Pod"]
        return cls(named("Deployment"), named("Job"), pods)

    def is_rolled_out(self, name: str) -> bool:
        """Whether all pods of a deployment are those of its present template, and ready."""
        found = self.deployments.get(name)
        if found is None:
            return False
        wanted, status = found["spec"]["replicas"], found.get("status", {})
        return bool(
            _is_observed(found)
            and status.get("updatedReplicas", 0) == wanted
            and status.get("replicas", 0) == wanted
            and status.get("availableReplicas", 0) == wanted
        )

    def pods_of(self, name: str) -> tuple[int, int] | None:
        """Return how many pods of a deployment are those of its present template, and how many are
        ready; None: there is no such deployment."""
        found = self.deployments.get(name)
        if found is None:
            return None
        status = found.get("status", {})
        return status.get("updatedReplicas", 0), status.get("availableReplicas", 0)

    def job_state(self, name: str) -> str | None:
        """Return ``Complete``, ``Failed``, ``running``, ``waiting`` until its container has
        started, or ``ending`` while it is being deleted; None: there is no such job."""
        found = self.jobs.get(name)
        if found is None:
            return None
        if is_ending(found):
            return "ending"
        for condition in found.get("status", {}).get("conditions") or []:
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return str(condition["type"])
        return "running" if any(map(_has_started, self.pods_of_job(name))) else "waiting"

    @property
    def running_jobs(self) -> tuple[str, ...]:
        """The names of the jobs whose container runs."""
        return tuple(name for name in self.jobs if self.job_state(name) == "running")

    @property
    def unfinished_jobs(self) -> tuple[str, ...]:
        """The names of the jobs that run, or may still begin."""
        ended = ("Complete", "Failed")
        return tuple(name for name in self.jobs if self.job_state(name) not in ended)

    def secrets_of(self, name: str) -> frozenset[str]:
        """Return the names of the Secrets that a deployment's pods read when they start."""
        found = self.deployments.get(name)
        return _secrets_of(found["spec"]["template"]["spec"]) if found else frozenset()

    def started_before(self, name: str, secrets: Iterable[Manifest]) -> bool:
        """Whether a pod of a deployment is older than the content of one of these Secrets: then it
        was started with another one, which somebody had put there."""
        found = self.deployments.get(name)
        if found is None:
            return False
        times = [
            pod["metadata"]["creationTimestamp"]
            for pod in self.pods
            if _is_of(pod, found["spec"]["template"])
        ]
        return bool(times) and any(written(each) > min(times) for each in secrets)

    def pod_refusals(self, name: str) -> list[str]:
        """Return why the cluster makes no pod of a deployment: a quota, or a constraint."""
        found = self.deployments.get(name)
        status = found.get("status", {}) if found else {}
        if not found or not _is_observed(found):
            return []
        return [
            condition["message"]
            for condition in status.get("conditions") or []
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]

    def deployment_reasons(self, name: str) -> list[Reason]:
        """Return why a deployment is not rolled out, as far as the cluster says it."""
        found = self.deployments.get(name)
        if found is None:
            return []
        reasons = [Reason(name, each, QUOTA not in each) for each in self.pod_refusals(name)]
        template = found["spec"]["template"]
        for pod in self.pods:
            if _is_of(pod, template):
                reasons += pod_reasons(pod)
        return reasons

    def job_reasons(self, name: str) -> list[Reason]:
        """Return why a job has failed, or does not go on."""
        return [reason for pod in self.pods_of_job(name) for reason in pod_reasons(pod)]

    def pods_of_job(self, name: str) -> list[Manifest]:
        return [pod for pod in self.pods if pod["metadata"]["labels"].get("job-name") == name]


def _secrets_of(pod: Manifest) -> frozenset[str]:
    mounted = [
        each["secret"]["secretName"] for each in pod.get("volumes") or [] if "secret" in each
    ]
    read = [
        each["valueFrom"]["secretKeyRef"]["name"]
        for container in pod["containers"]
        for each in container.get("env") or []
        if "secretKeyRef" in each.get("valueFrom", {})
    ]
    return frozenset((*mounted, *read))


def written(manifest: Manifest) -> str:
    """Return when our fields of an object were last changed, as the server notes it; empty: it does
    not say."""
    entries = manifest["metadata"].get("managedFields") or []
    return max((each["time"] for each in entries if each["manager"] == FIELD_MANAGER), default="")


def _has_started(pod: Manifest) -> bool:
    """Whether a pod's own container has ever run; what runs before it may run again."""
    status = pod.get("status", {})
    return status.get("phase") in ("Running", *ENDED) or any(
        kind in {**each.get("state", {}), **each.get("lastState", {})}
        for each in status.get("containerStatuses") or []
        for kind in ("running", "terminated")
    )


def _is_observed(deployment: Manifest) -> bool:
    """Whether a deployment's status is that of its present description."""
    observed = deployment.get("status", {}).get("observedGeneration", 0)
    return bool(observed >= deployment["metadata"].get("generation", 0))


def _is_of(pod: Manifest, template: Manifest) -> bool:
    """Whether a pod was made from this template, not from an earlier one, and is to stay.

    One that has ended, such as an evicted one, has a successor, and is left there for people.
    """
    metadata, wanted = pod["metadata"], template["metadata"]
    images = [each["image"] for each in template["spec"]["containers"]]
    return (
        "deletionTimestamp" not in metadata
        and pod.get("status", {}).get("phase") not in ENDED
        and metadata["labels"].get(COMPONENT) == wanted["labels"][COMPONENT]
        and (metadata.get("annotations") or {}).get(CONFIGURATION)
        == wanted["annotations"][CONFIGURATION]
        and [each["image"] for each in pod["spec"]["containers"]] == images
    )


def pod_reasons(pod: Manifest) -> Iterator[Reason]:
    """Yield why a pod doesn't run, in the cluster's own words.

    Of a deployment's pods, containers that end are started again, and a pod that failed, such as an
    evicted one, gets a successor.
    """
    reasons = list(_said_reasons(pod))
    yield from reasons
    if not reasons and pod.get("status", {}).get("phase") == "Pending":
        yield _not_started(pod)


def _not_started(pod: Manifest) -> Reason:
    """Return how far a pod is whose status gives no reason. What it waits for, a volume, a network
    or its image, only events say."""
    name = pod["metadata"]["name"]
    claims = [
        (CLAIM.name, each["persistentVolumeClaim"]["claimName"])
        for each in pod["spec"].get("volumes") or []
        if "persistentVolumeClaim" in each
    ]
    waiting = [
        f"{each['name']}: {each['state']['waiting'].get('reason', 'waiting')}"
        for each in pod["status"].get("containerStatuses") or []
        if "waiting" in each.get("state", {})
    ]
    text = ", ".join(waiting) or "not scheduled yet"
    return Reason(name, text, is_final=False, events_of=(("Pod", name), *claims))


def _said_reasons(pod: Manifest) -> Iterator[Reason]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    is_restarted = pod["spec"].get("restartPolicy") != "Never"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Reason(name, f"not scheduled: {condition.get('message', '')}", is_final=False)
    if status.get("phase") == "Failed" and status.get("message"):
        yield Reason(name, status["message"], is_final=not is_restarted)
    states = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
    for each in states:
        yield from _container_reasons(name, each, is_restarted)


def _container_reasons(pod: str, state: Manifest, is_restarted: bool) -> Iterator[Reason]:
    name, waiting = state["name"], state.get("state", {}).get("waiting") or {}
    why = waiting.get("reason", "")
    last = state.get("lastState", {}).get("terminated") or {}
    ended = state.get("state", {}).get("terminated") or {}
    is_last = not is_restarted or state.get("restartCount", 0) >= MOST_RESTARTS
    if why in HOPELESS:
        yield Reason(pod, f"{name}: {why}: {waiting.get('message', '')}", is_final=True)
    elif why == CRASHES:
        yield Reason(pod, f"{name}: {why}: {_end(last)}", is_last, container=name)
    elif why == "ErrImagePull":
        yield Reason(pod, f"{name}: {why}: {waiting.get('message', '')}", is_final=False)
    elif ended and ended.get("exitCode"):
        yield Reason(pod, f"{name}: {_end(ended)}", is_last, container=name)
    elif not state.get("ready") and "running" in state.get("state", {}):
        restarts = state.get("restartCount", 0)
        again = f", restarted {restarts} times: {_end(last)}" if restarts else ""
        yield Reason(pod, f"{name} runs and is not ready{again}", is_final=False, container=name)


def _end(terminated: Manifest) -> str:
    """Say how a container ended, with its last words if the cluster has kept them."""
    text = f"ended with {terminated.get('exitCode', 'an unknown status')}"
    if terminated.get("reason") not in (None, "Error", "Completed"):
        text += f" ({terminated['reason']})"
    said = (terminated.get("message") or "").strip()
    return f"{text}: {said}" if said else text

"""Deployments and jobs: applied, then waited for, with the pods' own reasons if they don't run."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime, timezone

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, operation
from pyinfra.api.command import PyinfraCommand

from facts.openshift import Workloads as Fact
from operations.openshift import kubectl
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import (
    MADE_BY_THIS_RUN,
    changes,
    drift,
    ours,
    present,
    removed,
)
from operations.openshift.waiting import Look, until_done
from operations.runtime.observation import recall
from quaylab.openshift import quay
from quaylab.openshift.objects import CONFIG_MAP, DEPLOYMENT, JOB, REMOVED, SECRET, Kind, Object
from quaylab.openshift.plan import ClusterPlan, verification
from quaylab.openshift.workloads import QUOTA, Reason, Workloads

# Lines of a container's log, and events of each object, that an error shows.
LOG_LINES, EVENTS = 20, 3
# A dump of a killed run is used again within this time, in seconds. Later, it would lack too much
# that was pushed meanwhile.
FRESH = 900


@operation()
def running(plan: ClusterPlan, objects: Iterable[Object]) -> Generator[PyinfraCommand]:
    """Run a deployment as described, and wait until all its pods are ready.

    + plan: the run's plan
    + objects: the deployment, and what belongs to it

    **Example:**

    .. code:: python

        workloads.running(name="Run Redis", plan=plan, objects=description.redis)
    """
    wanted = list(objects)
    (deployment,) = [each for each in wanted if each.kind is DEPLOYMENT]
    name, found = deployment.name, _known_state(plan)
    is_restarted = _needs_new_pods(plan, found, deployment)
    commands = list(changes(plan, wanted))
    yield from commands
    if is_restarted:
        yield kubectl.restarted(plan.access, name)
    if commands or is_restarted or not found.is_rolled_out(name):
        # What became of the pods before says nothing about the new ones.
        former = {pod["metadata"]["name"] for pod in found.pods} if commands or is_restarted else ()
        yield FunctionCommand(_await_deployment, (plan, name, frozenset(former)), {})


def _needs_new_pods(plan: ClusterPlan, found: Workloads, deployment: Object) -> bool:
    """Whether a deployment's pods have to be replaced, although its description is the same.

    What has failed is tried again after ever longer times, and new pods at once. And a pod may have
    started with another content of a Secret than that of its description.
    """
    name = deployment.name
    names = found.secrets_of(name)
    used = [each for each in plan.description.lasting if each.kind is SECRET and each.name in names]
    try:
        is_stuck = bool(found.pod_refusals(name)) or any(
            each.is_final for each in found.deployment_reasons(name)
        )
        is_due = (
            is_stuck
            or bool(drift(host, plan, used))
            or found.started_before(name, present(host, plan, used))
        )
        # A new description makes new pods.
        how = drift(host, plan, [deployment]).get(deployment.key) if is_due else None
        return is_due and how not in MADE_BY_THIS_RUN
    except ClusterError:
        return False  # the next question says why


@operation()
def completed(
    plan: ClusterPlan, job: Object, again: bool = False, is_dump: bool = False
) -> Generator[PyinfraCommand]:
    """Run a job to its end. One of a killed run is waited for; one that failed, or has not started
    yet, is run again.

    + plan: the run's plan
    + job: the job
    + again: run it again if it has ended well, because a note says that it is due
    + is_dump: likewise, if it has ended long ago, before the migration that it is for
    """
    found = _known_state(plan)
    state = found.job_state(job.name)
    is_due = again or (is_dump and state == "Complete" and _is_stale(plan, found, job))
    if state == "Complete" and not is_due:
        host.noop(f"{job.name} is done")
        return
    if state in ("Complete", "Failed", "waiting", "ending"):
        yield kubectl.deleted(plan.access, {JOB: [job.name]})
    if state != "running":
        yield kubectl.applied(plan.access, [plan.scope.manifest(job)])
    yield FunctionCommand(_await_job, (plan, job.name), {})


@operation()
def former_removed(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Remove objects of this registry that are no longer described. Claims stay, and so does a Job
    that runs: a migration that is cut off leaves neither the old schema nor the new one.

    + plan: the run's plan
    """
    description = plan.description
    wanted = (*description.lasting, *description.finished, description.note, verification(""))
    kept = {each.key for each in wanted}

    def find() -> dict[Kind, list[str]]:
        running = {(JOB.name, name) for name in state_of(host, plan).running_jobs}
        return {
            kind: [name for name in names if (kind.name, name) not in kept | running]
            for kind, names in ours(host, plan, (*REMOVED, SECRET, CONFIG_MAP)).items()
        }

    yield from removed(plan, find, "nothing is there that is not described")


@operation()
def others_removed(plan: ClusterPlan, restoration: Object) -> Generator[PyinfraCommand]:
    """Remove the Jobs of migrations and of other restores, also one that runs, and wait for their
    end: a dump is about to take the place of all that they have done, and nothing may take its.

    + plan: the run's plan
    + restoration: the job that restores the dump
    """

    def find() -> dict[Kind, list[str]]:
        jobs = ours(host, plan, [JOB])[JOB]
        changing = [name for name in jobs if quay.is_job(name, quay.MIGRATE, quay.RESTORE)]
        return {JOB: [name for name in changing if name != restoration.name]}

    yield from removed(plan, find, "neither a migration nor another restore is there")


def _is_stale(plan: ClusterPlan, found: Workloads, job: Object) -> bool:
    """Whether a dump is too old, and can be made again since the migration has not begun."""
    ended = found.jobs[job.name]["status"].get("completionTime")
    if found.job_state(plan.template.migration.name) not in (None, "waiting") or not ended:
        return False
    age = datetime.now(timezone.utc) - datetime.fromisoformat(ended.replace("Z", "+00:00"))
    return age.total_seconds() > FRESH


def state_of(host: Host, plan: ClusterPlan) -> Workloads:
    """Return the state of the registry's deployments, jobs and pods, asked once for all operations
    of a run without changes.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    return recall(host, "workloads of the cluster", lambda: _present_state(host, plan))


def _present_state(host: Host, plan: ClusterPlan) -> Workloads:
    return with_labels(host, plan, {"app.kubernetes.io/instance": plan.scope.instance})


def with_labels(host: Host, plan: ClusterPlan, labels: Mapping[str, str]) -> Workloads:
    """Return the state of the deployments, jobs and pods that have these labels.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    fact = Fact()
    output = kubectl.run(host, fact.command(plan.access.options, kubectl.selector(labels)))
    return fact.process(output.splitlines())


def _known_state(plan: ClusterPlan) -> Workloads:
    try:
        return state_of(host, plan)
    except ClusterError:
        return Workloads({}, {}, ())  # there is no namespace yet


def _await_deployment(
    state: State, host: Host, plan: ClusterPlan, name: str, former: frozenset[str]
) -> bool:
    """Wait until a deployment is rolled out; ``former`` are the pods that it replaces."""
    return _await(
        host,
        plan,
        name,
        lambda found: found.is_rolled_out(name),
        lambda found: [each for each in found.deployment_reasons(name) if each.pod not in former],
        lambda found: found.pods_of(name),
    )


def _await_job(state: State, host: Host, plan: ClusterPlan, name: str) -> bool:
    return _await(
        host,
        plan,
        name,
        lambda found: found.job_state(name) == "Complete",
        lambda found: _job_reasons(host, plan, found, name),
        # What runs may take long, such as a migration.
        lambda found: time.monotonic() if _runs(found, name) else None,
        lambda found: found.job_state(name) == "Failed",
    )


def _job_reasons(host: Host, plan: ClusterPlan, found: Workloads, name: str) -> list[Reason]:
    """Return why a job has failed, or does not go on; why it gets no pod, only events say."""
    if found.pods_of_job(name):
        return found.job_reasons(name)
    of_job = f"type=Warning,involvedObject.uid={found.jobs[name]['metadata']['uid']}"
    messages = _events(host, plan, of_job)
    return [Reason(name, message, QUOTA not in message) for message in messages]


def _await(
    host: Host,
    plan: ClusterPlan,
    name: str,
    is_done: Callable[[Workloads], bool],
    reasons: Callable[[Workloads], Sequence[Reason]],
    progress: Callable[[Workloads], object],
    has_failed: Callable[[Workloads], bool] = lambda found: False,
) -> bool:
    """Wait until a deployment or job is done.

    Args:
        progress: changes while it gets on.
        has_failed: whether it has failed for good.
    """

    def look() -> Look:
        found = _present_state(host, plan)
        known = reasons(found)
        return Look(
            is_done(found),
            has_failed(found) or any(each.is_final for each in known),
            lambda: explained(host, plan, known) or ["the cluster gives no reason"],
            progress(found),
        )

    return until_done(host, plan, look, f"{name} does not run", f"{name} does not get on")


def _runs(found: Workloads, job: str) -> bool:
    return any(
        pod["metadata"]["labels"].get("job-name") == job and pod["status"]["phase"] == "Running"
        for pod in found.pods
    )


def explained(host: Host, plan: ClusterPlan, known: Sequence[Reason]) -> list[str]:
    """Return reasons of pods, what their last failed probe found, the last lines of their
    containers' logs, and the events of pods that have not started."""
    lines = list(dict.fromkeys(map(str, known)))
    for pod, container in dict.fromkeys((each.pod, each.container) for each in known):
        if container:
            of_probes = f"type=Warning,involvedObject.name={pod},reason=Unhealthy"
            lines += _events(host, plan, of_probes)[-1:]
            lines += [f"  | {line}" for line in _log(host, plan, pod, container)]
    for kind, name in dict.fromkeys(pair for each in known for pair in each.events_of):
        said = events_of(host, plan, kind, name)[-EVENTS:]
        lines += [f"  {name}: {message}" for message in said]
    return lines


def events_of(host: Host, plan: ClusterPlan, kind: str, name: str) -> list[str]:
    """Return the messages of an object's events, the newest last."""
    return _events(host, plan, f"involvedObject.kind={kind},involvedObject.name={name}")


def _events(host: Host, plan: ClusterPlan, selector: str) -> list[str]:
    """Return the messages of the cluster's events, the newest last.

    Args:
        selector: a field selector, which chooses events.
    """
    words = ("--sort-by=.lastTimestamp", f"--field-selector={selector}")
    try:
        answer = kubectl.ask(host, plan.access, "get", "events", *words, "--output=json")
    except ClusterError:
        return []
    return [each["message"] for each in kubectl.parsed(answer)]


def _log(host: Host, plan: ClusterPlan, pod: str, container: str) -> list[str]:
    """Return the last lines of a container's log."""
    words = ("logs", pod, f"--container={container}", f"--tail={LOG_LINES}")
    try:
        return kubectl.ask(host, plan.access, *words).splitlines()
    except ClusterError:
        return []

"""A run on a cluster: what is there is asked, and the plan made, before anything is changed."""

from __future__ import annotations

import dataclasses

from pyinfra import inventory, logger
from pyinfra.api import Host

from operations import credentials
from operations.openshift import inquiry, kubectl, objects, workloads
from operations.openshift.kubectl import ClusterError
from operations.runtime.commands import ask_at_terminal, host_inputs, refusals
from operations.runtime.invocation import is_dry
from operations.runtime.once import OncePerRun
from operations.runtime.purpose import Purpose
from operations.runtime.reports import reports
from operations.services import external_services
from quaylab import plan as plans
from quaylab.openshift import refusals as refused
from quaylab.openshift.cluster import Access
from quaylab.openshift.layout import CLUSTER, GROUP, is_known_inside, is_operated
from quaylab.openshift.objects import key_of
from quaylab.openshift.operator import refusals as operator_refusals
from quaylab.openshift.plan import ClusterPlan, verification
from quaylab.plan import Plan
from quaylab.problems import Problems, Refusal, refuse
from quaylab.secrets.credentials import Store
from quaylab.settings.loading import load
from quaylab.upgrade import schema_version

RESTORE = "tasks/restore_openshift.py"

_runs: OncePerRun[ClusterPlan] = OncePerRun()


def begin(purpose: Purpose = Purpose.DEPLOY) -> ClusterPlan:
    """Return the validated plan of this run, and save its credentials before any other operation.

    + purpose: what the run is for; a task that another deploy file includes belongs to that file's
      run and has its purpose

    Raises ``DeployError`` with all problems at once.
    """

    def prepare() -> ClusterPlan:
        plan = _make(purpose)
        if purpose.deploys:
            credentials.saved(name="Save the credentials", plan=plan.registry)
        return plan

    return _runs.get(prepare)


def begin_part(method: str) -> ClusterPlan:
    """Return the plan of this run, for the part of tasks/openshift.py that follows a method.

    Raises ``DeployError`` if the settings name the other one, since the part was run by itself.
    """
    plan = begin()
    with refusals():
        if plan.registry.settings.openshift_method != method:
            refuse([f"openshift_method: not {method}; run tasks/openshift.py"])
    return plan


def _make(purpose: Purpose) -> ClusterPlan:
    hosts = host_inputs(inventory)
    if not any(GROUP in each.groups for each in hosts):
        refuse(
            [
                "openshift: no host in group `openshift`; name the one on which kubectl or oc is "
                "logged in, or run the task of machines"
            ]
        )
    settings, _ = load(hosts)
    store = Store(settings.lab_name)
    if purpose is not Purpose.STATUS and not is_dry():
        store.lock()  # not the hosts: nothing is changed on them
    registry = plans.make(
        hosts,
        reports({}),
        store,
        ask=ask_at_terminal(),
        rotate=purpose is Purpose.ROTATE,
        deploys=purpose.deploys,
    )
    client, access = inventory.get_host(registry.topology.first_quay), Access.of(settings)
    try:
        server = inquiry.server(client, access)
        refuse(refused.place_problems(settings, registry.credentials, server))
        logger.info(f"Cluster: {server}, namespace {access.namespace}")
        cluster = inquiry.cluster(client, access, server)
        if is_operated(settings):
            package = settings.openshift_operator
            cluster = inquiry.with_operators(client, access, cluster, package)
        plan = ClusterPlan(_with_place(registry, server), access, cluster)
        refuse(refused.early_problems(cluster, settings))
        if plan.is_operated and purpose.deploys:
            refuse(operator_refusals.early_problems(cluster, settings, registry.topology))
        if purpose.deploys:
            refuse(inquiry.missing_rights(client, plan))
        plan = _with_found(client, plan)
    except ClusterError as error:
        raise Refusal([f"openshift_context: {access.context} on {client.name}: {error}"]) from None
    if purpose.deploys:
        _refuse_unfit(client, plan)
        # Asked from here; the job that tries all addresses asks from inside the cluster.
        checked = external_services.check(
            plan.registry, is_asked=lambda endpoint: not is_known_inside(endpoint)
        )
        return dataclasses.replace(plan, registry=checked)
    owner = registry.credentials.fingerprint
    refuse(refused.foreign_problems(plan.cluster, owner))
    refuse(refused.method_problems(plan.cluster, settings, owner))
    if purpose is Purpose.RECOVER and not registry.purges:
        refuse(refused.ending_problems(plan.cluster))
    if plan.is_operated and purpose is Purpose.RECOVER:
        refuse(
            operator_refusals.lost_note_problems(plan.cluster, settings, plan.operator, plan.scope)
        )
    return plan


def _with_place(registry: Plan, server: str) -> Plan:
    """Return the plan with credentials that remember the API server and the namespace."""
    place = {
        "openshift_server": server,
        "openshift_namespace": registry.settings.openshift_namespace,
    }
    known = registry.credentials.model_copy(update=place)
    return dataclasses.replace(registry, credentials=known)


def _with_found(client: Host, plan: ClusterPlan) -> ClusterPlan:
    """Return the plan with those of its objects that are there."""
    if plan.cluster.phase is None:
        return plan
    description = plan.description
    wanted = (*description.lasting, description.note, verification(""))
    known = [plan.scope.manifest(each) for each in wanted if plan.cluster.has(each.kind)]
    found = kubectl.existing(client, plan.access, known)
    cluster = dataclasses.replace(plan.cluster, found={key_of(each): each for each in found})
    return dataclasses.replace(plan, cluster=cluster)


def _refuse_unfit(client: Host, plan: ClusterPlan) -> None:
    """Stop if the cluster can't have the registry, or has data that this run doesn't match."""
    registry, owner = plan.registry, plan.registry.credentials.fingerprint
    refuse(refused.method_problems(plan.cluster, registry.settings, owner))
    if plan.is_operated:
        refuse(operator_refusals.problems(plan.cluster, registry.settings, plan.operator, owner))
    else:
        problems = Problems(refused.problems(plan.cluster, registry, plan.template, plan.scope))
        if not problems:
            problems += schema_version.problems(
                registry.settings, registry.topology, plan.schema, (CLUSTER,), RESTORE
            )
        refuse(problems)
    try:
        objects.observe(client, plan)
        jobs = workloads.state_of(client, plan).unfinished_jobs if plan.cluster.phase else ()
    except ClusterError as error:
        # One refusal may have several lines.
        said = "\n    ".join(str(error).splitlines())
        raise Refusal([f"openshift: the cluster refuses it: {said}"]) from None
    refuse(refused.restore_problems(jobs, plan.access.namespace))

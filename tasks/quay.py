"""Quay: its bundle, its schema, its container, its superuser."""

from pyinfra import host

from operations.engines import containers, images
from operations.hosts import files
from operations.runtime import barrier
from operations.runtime.run import begin
from operations.services import balancers, dumps, keepalived, nodes, quay
from quaylab.checks import blob_location, database_location
from quaylab.model import container_name
from quaylab.upgrade import schema_version
from quaylab.versions import is_legacy

plan = begin()

dumps.taken(name="Dump the database before its schema changes", plan=plan)

if containers.is_former(plan, "balancer", host.name):
    # It leaves its ports to Quay, and the address to the others.
    keepalived.absent(name="Remove keepalived's unit")

    containers.absent(name="Remove a former balancer", container=balancers.CONTAINER)

if host.name in plan.topology.quay:
    # A host's containers have the same image and the same bundle.
    first, *_ = plan.workloads_for("quay", host.name)

    images.present(name="Get Quay's image", images=[first.image], settings=plan.settings)

    files.present(name="Write Quay's bundle", files=first.files)

    if host.name == plan.topology.first_quay and not is_legacy(plan.version):
        quay.services_answer(
            name="Check database, Redis and storage with Quay's credentials", plan=plan
        )

    if plan.migrates and plan.upgrade.before:
        # From here on, neither a dump nor a deploy of the previous version is right. On all hosts,
        # as any of them may be lost.
        files.present(
            name="Record that the schema is being migrated",
            files=[
                schema_version.note(
                    schema_version.migrating_note(plan.upgrade.before, plan.version)
                )
            ],
        )

    if host.name == plan.topology.first_quay and not is_legacy(plan.version):
        quay.migrated(name="Migrate the database's schema", plan=plan)

    if not is_legacy(plan.version):
        # Not earlier: once the notes exist, a run without the blobs' volume is refused.
        files.present(
            name="Record where the data is, and the schema's version",
            files=[
                database_location.note(plan.settings, plan.topology),
                blob_location.note(plan.settings, plan.topology, plan.credentials),
                schema_version.note(plan.version),
            ],
        )

    if not plan.is_balanced:
        containers.running(name="Run Quay", workload=first, timeout=plan.settings.health_timeout)
    else:
        containers.started(
            name="Start Quay where it does not run",
            workloads=plan.workloads_for("quay", host.name),
            timeout=plan.settings.health_timeout,
        )

if plan.former_quays and not is_legacy(plan.version):
    quay.former_notes_removed(name="Remove the notes of Quay's former hosts", plan=plan)

if balancers.runs_haproxy(plan, host.name) and not nodes.removes_nodes(plan):
    # So that new nodes serve while the others are replaced.
    files.present(
        name="Write HAProxy's configuration", files=plan.workload("balancer", host.name).files
    )

    balancers.loaded(name="Tell HAProxy about the nodes", plan=plan)

# One after the other, while the others serve.
for node in host.loop(plan.nodes if plan.is_balanced else ()):  # type: ignore[no-untyped-call]
    if node.host == host.name:
        nodes.as_specified(name=f"Run Quay as specified: {node.name}", plan=plan, node=node)

if nodes.former_nodes_of(plan, host.name):
    nodes.former_removed(name="Remove Quay's former nodes", plan=plan)

if containers.is_former(plan, "router", host.name):
    # Until now Quay on this host may have used it.
    containers.absent(name="Remove a former router", container=container_name("router"))

if quay.has_unused_redis(plan):
    barrier.reached(name="Wait until Quay uses its present Redis")

    if containers.is_former(plan, "redis", host.name):
        containers.absent(name="Remove a former Redis", container=container_name("redis"))

if host.name in plan.topology.quay:
    if is_legacy(plan.version):
        quay.wizard_reachable(name="Wait for Quay's set-up page", plan=plan)
    elif host.name == plan.topology.first_quay:
        quay.superuser_present(name="Create the superuser", plan=plan)

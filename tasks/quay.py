"""Quay: its bundle, its schema, its container, its superuser."""

from pyinfra import host

from operations import containers, dumps, files, images, quay
from operations.run import begin
from quaylab.checks import blob_location
from quaylab.versions import is_legacy

plan = begin()

dumps.taken(name="Dump the database before its schema changes", plan=plan)

if host.name in plan.topology.quay:
    node = plan.workload("quay", host.name)

    images.present(name="Get Quay's image", images=[node.image], settings=plan.settings)

    files.present(name="Write Quay's bundle", files=node.files)

    if host.name == plan.topology.leader and not is_legacy(plan.version):
        quay.services_answer(
            name="Check database, Redis and storage with Quay's credentials", plan=plan
        )

        quay.migrated(name="Migrate the database's schema", plan=plan)

        # Not earlier: once the note exists, a run without the blobs' volume is refused.
        files.present(
            name="Record where the blobs are",
            files=[blob_location.note(plan.settings, plan.topology, plan.credentials)],
        )

    containers.running(name="Run Quay", workload=node, timeout=plan.settings.health_timeout)

    if is_legacy(plan.version):
        quay.wizard_reachable(name="Wait for Quay's set-up page", plan=plan)
    elif host.name == plan.topology.leader:
        quay.superuser_present(name="Create the superuser", plan=plan)

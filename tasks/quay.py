"""Quay: its bundle, its schema, its container, its superuser."""

from pyinfra import host

from operations import containers, credentials, dumps, files, images, quay
from operations.plan import plan
from quaylab.checks import blob_location
from quaylab.versions import is_legacy

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

dumps.taken(name="Dump the database before its schema changes", plan=lab)

if host.name in lab.topology.quay:
    part = lab.quay[host.name]

    images.present(name="Get Quay's image", images=[part.image], settings=lab.settings)

    files.present(name="Write Quay's bundle", files=part.files)

    if host.name == lab.topology.leader and not is_legacy(lab.version):
        quay.services_answer(name="Ask what Quay uses, with Quay's credentials", plan=lab)

        quay.migrated(name="Migrate the database's schema", plan=lab)

        # Not before there is a place for them: a run that lacks what is noted is refused.
        files.present(
            name="Note where the blobs are",
            files=[blob_location.note(lab.settings, lab.topology, lab.credentials)],
        )

    containers.running(name="Run Quay", part=part, timeout=lab.settings.health_timeout)

    if is_legacy(lab.version):
        quay.wizard_reachable(name="Wait for Quay's set-up page", plan=lab)
    elif host.name == lab.topology.leader:
        quay.superuser(name="Make the superuser", plan=lab)

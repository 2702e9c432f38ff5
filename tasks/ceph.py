"""Ceph: a cluster on one host, or by cephadm on several; the way to it, Quay's user, the bucket."""

from pyinfra import host, local

from operations.engines import containers, images
from operations.hosts import files
from operations.runtime.run import begin
from operations.services import ceph, cephadm, object_storage
from quaylab.services.ceph import admin_host, image, runs_in_container
from quaylab.services.cephadm import files as cephadm_files

plan = begin()
members = plan.topology.hosts["ceph"]

if host.name in members:
    images.present(name="Get Ceph's image", images=[image(plan.settings)], settings=plan.settings)

    if runs_in_container(members):
        cluster = plan.workload("ceph", host.name)

        files.present(name="Write Ceph's configuration", files=cluster.files)

        ceph.osd_files(name="Create the OSDs' files", plan=plan)

        containers.running(name="Run Ceph", workload=cluster, timeout=plan.settings.health_timeout)
    else:
        cephadm.prepared(name="Prepare the host for cephadm", plan=plan)

        cephadm.started(name="Start Ceph's daemons", plan=plan)

        if host.name == admin_host(plan.topology):
            files.present(
                name="Write the bootstrap configuration",
                files=cephadm_files(plan.settings, plan.credentials),
            )

            cephadm.bootstrapped(name="Bootstrap the cluster", plan=plan)

            cephadm.osd_memory_limited(name="Limit the OSDs' memory", plan=plan)

        cephadm.applied(name="Apply Ceph's host and service specifications", plan=plan)

        cephadm.serving(name="Wait for Ceph's gateway", plan=plan)

if members:
    ceph.user_present(name="Create Quay's user in Ceph", plan=plan)

    local.include("tasks/ingress.py")

    if host.name == plan.topology.first_quay:
        object_storage.bucket_present(name="Create the bucket in Ceph", plan=plan)

        object_storage.usable(name="Test the object store in Ceph: write, read, delete", plan=plan)

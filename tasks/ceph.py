"""Ceph: a cluster on one host, or by cephadm on several; Quay's user in it, and the bucket."""

from pyinfra import host

from operations import ceph, cephadm, containers, credentials, files, images, object_storage
from operations.plan import plan
from quaylab.images import ceph_image
from quaylab.services.cephadm import files as cephadm_files

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

if lab.ceph and host.name in lab.topology.ceph:
    images.present(name="Get Ceph's image", images=[lab.ceph.image], settings=lab.settings)

    files.present(name="Write Ceph's configuration", files=lab.ceph.files)

    ceph.osd_files(name="Make the files of OSDs", plan=lab)

    containers.running(name="Run Ceph", part=lab.ceph, timeout=lab.settings.health_timeout)

elif host.name in lab.topology.ceph:
    images.present(
        name="Get Ceph's image", images=[ceph_image(lab.settings)], settings=lab.settings
    )

    cephadm.prepared(name="Prepare the host for cephadm", plan=lab)

    if host.name == lab.ceph_admin:
        files.present(
            name="Write what the cluster begins from",
            files=cephadm_files(lab.settings, lab.credentials),
        )

        cephadm.bootstrapped(name="Begin the cluster", plan=lab)

    cephadm.applied(name="Declare hosts and services", plan=lab)

    cephadm.serving(name="Wait for Ceph's gateway", plan=lab)

if lab.topology.ceph:
    ceph.user_present(name="Make Quay's user in Ceph", plan=lab)

    if host.name == lab.topology.leader:
        object_storage.bucket_present(name="Make the bucket in Ceph", plan=lab)

        object_storage.usable(name="Write, read and delete an object in Ceph", plan=lab)

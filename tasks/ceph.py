"""Ceph: a cluster on one host, Quay's user in its gateway, and the bucket."""

from pyinfra import host

from operations import ceph, containers, credentials, files, images, storage
from operations.plan import plan

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

if lab.ceph and host.name in lab.topology.ceph:
    images.present(name="Get Ceph's image", images=[lab.ceph.image], settings=lab.settings)

    files.present(name="Write Ceph's configuration", files=lab.ceph.files)

    ceph.osd_files(name="Make the files of OSDs", plan=lab)

    containers.running(name="Run Ceph", part=lab.ceph, timeout=lab.settings.health_timeout)

if lab.topology.ceph:
    ceph.user_present(name="Make Quay's user in Ceph", plan=lab)

    if host.name == lab.topology.leader:
        storage.bucket_present(name="Make the bucket in Ceph", plan=lab)

        storage.usable(name="Write, read and delete an object in Ceph", plan=lab)

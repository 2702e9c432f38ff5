"""etcd, on the hosts of a database that runs on several: there Patroni keeps which one leads."""

from pyinfra import host

from operations.engines import images
from operations.hosts import files
from operations.runtime.run import begin
from operations.services import etcd

plan = begin()
members = plan.topology.hosts["etcd"]

if host.name in members:
    member = plan.workload("etcd", host.name)

    images.present(
        name="Get etcd's image", images=plan.images_for("etcd", host.name), settings=plan.settings
    )

    files.present(name="Write etcd's files", files=member.files)

    etcd.data_of_no_member_removed(name="Remove etcd's data that is no member's", plan=plan)

    etcd.started(name="Start etcd where it does not run", plan=plan)

# One after the other: a majority has to stay.
for name in host.loop(members):  # type: ignore[no-untyped-call]
    if host.name == name:
        etcd.as_specified(name="Run etcd as specified", plan=plan)

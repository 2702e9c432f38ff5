"""Take the registry down: containers and network go, data and credentials stay.

With `--data purge=NAME`, NAME being the registry's own, the data goes too, for good.
"""

from pyinfra import host

from operations import ceph, teardown
from operations.plan import plan

lab = plan(check=False)

if host.name in lab.topology.engine_hosts():
    teardown.containers(name="Remove containers and network", plan=lab)

    if lab.purges:
        teardown.data(name="Remove volumes, files and certificates", plan=lab)

        if lab.ceph and host.name in lab.topology.ceph:
            ceph.wiped(name="Wipe what OSDs were made on", plan=lab)

        teardown.credentials(name="Forget the credentials", plan=lab)

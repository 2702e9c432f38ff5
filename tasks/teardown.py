"""Take the registry down: containers and network go, data and credentials stay.

With `--data purge=NAME`, NAME being the registry's own, the data goes too, for good.
"""

from pyinfra import host

from operations import ceph, cephadm, firewall, subscription, teardown
from operations.plan import plan

lab = plan(check=False)
teardown.spare_others(lab)

if host.name in lab.topology.engine_hosts():
    teardown.containers(name="Remove containers and network", plan=lab)

    firewall.closed(name="Close the firewall")

    if len(lab.topology.ceph) > 1 and host.name in lab.topology.ceph:
        cephadm.stopped(name="Stop Ceph's daemons", plan=lab)

        if lab.purges:
            cephadm.removed(name="Remove Ceph's daemons and OSDs", plan=lab)

    if lab.purges:
        teardown.data(name="Remove volumes, files and certificates", plan=lab)

        if lab.ceph and host.name in lab.topology.ceph:
            ceph.wiped(name="Wipe what OSDs were made on", plan=lab)

        teardown.credentials(name="Forget the credentials", plan=lab)

if lab.settings.rhsm_unregister:
    subscription.unregistered(name="Unregister the host", plan=lab)

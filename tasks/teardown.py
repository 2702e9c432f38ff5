"""Take the registry down: remove containers and network; data and credentials stay.

`--data purge=NAME`, with the registry's name, removes the data too, for good.
"""

from pyinfra import host

from operations import teardown
from operations.engines import purge
from operations.hosts import firewall, subscription
from operations.runtime.run import Purpose, begin
from operations.services import ceph, cephadm, keepalived, quay
from quaylab.services.ceph import runs_cephadm, runs_in_container

plan = begin(Purpose.RECOVER)
teardown.check_owner(plan)
members = plan.topology.hosts["ceph"]

if quay.has_leftover_migration(plan):
    quay.migration_ended(name="Wait for the migration of a killed run", plan=plan)

if teardown.is_needed(plan):
    keepalived.absent(name="Give up the virtual address")

    teardown.containers(name="Remove containers and network", plan=plan)

    firewall.closed(name="Remove Quaylab's firewall rules")

    if runs_cephadm(plan.topology, host.name):
        cephadm.stopped(name="Stop Ceph's daemons", plan=plan)

        if plan.purges:
            cephadm.removed(name="Remove Ceph's daemons and OSDs", plan=plan)

    if plan.purges:
        if purge.has_former(plan, host.name):
            purge.data_removed(
                name="Remove what a former engine has kept",
                plan=plan,
                engine=purge.other(plan, host.name),
            )

        teardown.data(name="Remove volumes, files and certificates", plan=plan)

        if host.name in members and runs_in_container(members):
            ceph.wiped(name="Wipe the OSDs' devices", plan=plan)

        teardown.credentials(name="Remove the credentials file", plan=plan)

if plan.settings.rhsm_unregister:
    subscription.unregistered(name="Unregister the host", plan=plan)

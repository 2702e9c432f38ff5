"""The ingress on each balancer, which leads to the gateways of Ceph on several hosts.

Quay looks for its object store as it starts. So on a first run the balancers share the virtual
address from here on, although their HAProxy starts only after Quay.
"""

from pyinfra import host

from operations.engines import images
from operations.hosts import files
from operations.runtime import barrier
from operations.runtime.run import begin
from operations.services import keepalived, object_storage, virtual_address
from quaylab.services.keepalived import files as keepalived_files

plan = begin()
balancers = plan.topology.hosts["ingress"]

# One after the other: while one is replaced, the others lead to the gateways.
for name in host.loop(virtual_address.holder_last(plan, balancers)):  # type: ignore[no-untyped-call]
    if host.name == name:
        ingress = plan.workload("ingress", name)

        images.present(name="Get HAProxy's image", images=[ingress.image], settings=plan.settings)

        files.present(name="Write the ingress' configuration", files=ingress.files)

        virtual_address.container_as_specified(name="Run the ingress", plan=plan, workload=ingress)

if host.name in balancers and virtual_address.is_free(plan):
    keepalived.installed(name="Install keepalived", machine=plan.machines[host.name])

    files.present(name="Write keepalived's configuration", files=keepalived_files(plan, host.name))

    keepalived.unchecked(name="Hold the address before HAProxy runs", plan=plan)

    keepalived.running(name="Run keepalived", plan=plan)

if balancers:
    barrier.reached(name="Wait until the balancers lead to Ceph's gateways")

    if host.name == plan.topology.first_quay:
        object_storage.reachable(name="Wait for Ceph's gateways behind the balancers", plan=plan)

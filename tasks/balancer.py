"""The balancers: HAProxy in front of Quay's nodes, and the address that one of them holds."""

from pyinfra import host

from operations.engines import containers, images
from operations.hosts import files
from operations.runtime import barrier
from operations.runtime.run import begin
from operations.services import balancers, keepalived, virtual_address
from quaylab.model import container_name
from quaylab.services.keepalived import files as keepalived_files

plan = begin()

if plan.topology.balancers:
    # HAProxy takes over ports that Quay had, and looks for the nodes where they are now.
    barrier.reached(name="Wait until Quay's nodes run")

if containers.is_former(plan, "ingress", host.name):
    # Until now Quay may have used it.
    containers.absent(name="Remove a former ingress", container=container_name("ingress"))

if host.name in plan.topology.balancers and plan.settings.virtual_address:
    keepalived.peers_loaded(name="Tell keepalived of all balancers", plan=plan)

# One after the other: while one is replaced, clients use the others.
for name in host.loop(virtual_address.holder_last(plan, plan.topology.balancers)):  # type: ignore[no-untyped-call]
    if host.name == name:
        haproxy = plan.workload("balancer", name)

        images.present(name="Get HAProxy's image", images=[haproxy.image], settings=plan.settings)

        files.present(name="Write HAProxy's configuration", files=haproxy.files)

        virtual_address.container_as_specified(name="Run HAProxy", plan=plan, workload=haproxy)

        balancers.loaded(name="Load HAProxy's configuration", plan=plan)

        if plan.settings.virtual_address:
            keepalived.installed(name="Install keepalived", machine=plan.machines[name])

            files.present(
                name="Write keepalived's configuration",
                files=keepalived_files(plan, name),
            )

            keepalived.running(name="Run keepalived", plan=plan)

            keepalived.checked(name="Hold the address only where HAProxy is well")
        else:
            keepalived.absent(name="Remove keepalived's unit")

if plan.settings.virtual_address and host.name in plan.connected(plan.topology.balancers)[:1]:
    virtual_address.held_once(name="Check that one balancer holds the address", plan=plan)

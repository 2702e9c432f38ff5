"""The router on each of Quay's hosts, if database or Redis has several hosts."""

from pyinfra import host

from operations.engines import images
from operations.hosts import files
from operations.runtime import barrier
from operations.runtime.run import begin
from operations.services import nodes

plan = begin()
routers = plan.topology.hosts["router"]

if routers:
    barrier.reached(name="Wait until database and Redis run")

# One after the other: Quay's nodes on the other hosts serve meanwhile.
for name in host.loop(routers):  # type: ignore[no-untyped-call]
    if host.name == name:
        router = plan.workload("router", name)

        images.present(name="Get HAProxy's image", images=[router.image], settings=plan.settings)

        files.present(name="Write the router's configuration", files=router.files)

        nodes.router_as_specified(name="Run the router", plan=plan, router=router)

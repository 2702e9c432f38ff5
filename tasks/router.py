"""The router on each of Quay's hosts, if database or Redis has several hosts."""

from pyinfra import host

from operations.engines import containers, images
from operations.hosts import files
from operations.runtime import barrier
from operations.runtime.run import begin

plan = begin()
routers = plan.topology.hosts["router"]

if routers:
    barrier.reached(name="Wait until database and Redis run")

# One after the other: Quay on the other hosts goes on meanwhile.
for name in host.loop(routers):  # type: ignore[no-untyped-call]
    if host.name == name:
        router = plan.workload("router", name)

        images.present(name="Get HAProxy's image", images=[router.image], settings=plan.settings)

        files.present(name="Write the router's configuration", files=router.files)

        containers.running(
            name="Run the router", workload=router, timeout=plan.settings.health_timeout
        )

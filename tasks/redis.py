"""Redis, for Quay's build logs, user events and locks."""

from pyinfra import host

from operations.engines import containers, images
from operations.hosts import files
from operations.runtime.run import begin
from operations.services import nodes

plan = begin()

# One after the other: the routers lead Quay to another one meanwhile.
for name in host.loop(plan.topology.hosts["redis"]):  # type: ignore[no-untyped-call]
    if host.name == name:
        redis = plan.workload("redis", name)

        images.present(name="Get Redis' image", images=[redis.image], settings=plan.settings)

        files.present(name="Write Redis' environment", files=redis.files)

        if nodes.router_has_port(plan, name, "redis"):
            # Quay goes without Redis until it is led to this one, later in the same run.
            nodes.router_gives_way(name="Have the router give up Redis' port", plan=plan)

        containers.running(name="Run Redis", workload=redis, timeout=plan.settings.health_timeout)

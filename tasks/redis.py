"""Redis, for Quay's build logs, user events and locks."""

from pyinfra import host

from operations import containers, files, images
from operations.run import begin

plan = begin()

if host.name in plan.topology.hosts["redis"]:
    redis = plan.workload("redis", host.name)

    images.present(name="Get Redis' image", images=[redis.image], settings=plan.settings)

    files.present(name="Write Redis' environment", files=redis.files)

    containers.running(name="Run Redis", workload=redis, timeout=plan.settings.health_timeout)

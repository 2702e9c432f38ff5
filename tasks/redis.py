"""Redis, for Quay's build logs, user events and locks."""

from pyinfra import host

from operations import containers, credentials, files, images
from operations.plan import plan

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

if host.name == lab.topology.redis.host:
    part = lab.redis

    images.present(name="Get Redis' image", images=[part.image], settings=lab.settings)

    files.present(name="Write Redis' environment", files=part.files)

    containers.running(name="Run Redis", part=part, timeout=lab.settings.health_timeout)

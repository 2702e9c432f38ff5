"""All images of all hosts, before any container is touched: so a failed pull replaces nothing."""

from pyinfra import host

from operations.engines import images
from operations.runtime import barrier
from operations.runtime.run import begin

plan = begin()

if wanted := plan.images_of(host.name):
    images.present(name="Get the images", images=wanted, settings=plan.settings)

barrier.reached(name="Wait until every host has its images")

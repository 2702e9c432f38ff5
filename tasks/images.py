"""All images of all hosts, before any container is touched: so a failed pull replaces nothing."""

from pyinfra import host

from operations import barrier, images
from operations.run import begin

plan = begin()

if wanted := plan.images_of(host.name):
    images.present(name="Get the images", images=wanted, settings=plan.settings)

barrier.reached(name="Wait until every host has its images")

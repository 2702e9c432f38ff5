"""Every image of every host, before any container is touched: a failed pull replaces nothing."""

from pyinfra import host

from operations import credentials, images
from operations.plan import plan

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

if wanted := lab.images_of(host.name):
    images.present(name="Get the images", images=wanted, settings=lab.settings)

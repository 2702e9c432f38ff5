"""The packaged images on the CI machine's engine, built as a deploy builds them."""

from __future__ import annotations

from functools import partial

from quaylab.images import (
    Image,
    base_image,
    context_archive,
)
from quaylab.services import balancer, ceph, database, etcd, patroni, quay, redis
from quaylab.versions import NEWEST, NEWEST_ON_MYSQL
from tests.machine import cephadm_image
from tests.machine.machines import building, has_image, run
from tests.unit import samples

# Every version that the tests run can be upgraded to from this one.
BEFORE = "v3.15.1"


def build_all() -> dict[str, str]:
    """Build the missing images; return references by name: ``quay`` is the newest stand-in,
    ``quay-mysql`` the newest for MySQL, and ``quay-before`` an older one."""
    with building():
        return _build_all()


def _build_all() -> dict[str, str]:
    base = base_image()
    if not has_image(base.reference):
        assert base.context is not None
        run("sh", "-s", base.reference, input=(base.context / "build").read_text())
    settings = partial(samples.settings, image_source="packages")
    images = {
        "base": base,
        "postgresql": database.image(settings()),
        "patroni": patroni.image(database.image(settings())),
        "etcd": etcd.image(settings()),
        "mariadb": database.image(settings(database_engine="mysql")),
        "ceph": ceph.image(settings()),
        "redis": redis.image(settings()),
        "haproxy": balancer.image(settings()),
        "quay": quay.image(settings(quay_version=NEWEST)),
        "quay-mysql": quay.image(settings(quay_version=NEWEST_ON_MYSQL)),
        "quay-before": quay.image(settings(quay_version=BEFORE)),
    }
    for image in images.values():
        if not has_image(image.reference):
            _build(image)
    references = {part: image.reference for part, image in images.items()}
    return {**references, "cephadm": cephadm_image.build(references["ceph"])}


def _build(image: Image) -> None:
    assert image.context is not None
    arguments = [f"--build-arg={name}={value}" for name, value in image.arguments]
    build = ["docker", "build", "--quiet", "--tag", image.reference, *arguments, "-"]
    run("env", "DOCKER_BUILDKIT=0", *build, input=context_archive(image.context))

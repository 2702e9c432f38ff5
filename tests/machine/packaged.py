"""The packaged images on the CI machine's engine, built as a deploy builds them."""

from __future__ import annotations

from quaylab.images import (
    PACKAGED_CEPH,
    PACKAGED_MARIADB,
    PACKAGED_POSTGRESQL,
    PACKAGED_REDIS,
    Image,
    base_image,
    context_archive,
    packaged_image,
)
from quaylab.versions import NEWEST, NEWEST_ON_MYSQL
from tests.machine.machines import building, has_image, run

# From which every version that the tests run can be upgraded to.
BEFORE = "v3.15.1"


def build_all() -> dict[str, str]:
    """References by part; ``quay`` is the newest stand-in, ``quay-mysql`` that for MySQL, and
    ``quay-before`` an older one."""
    with building():
        return _build_all()


def _build_all() -> dict[str, str]:
    base = base_image()
    if not has_image(base.reference):
        assert base.context is not None
        run("sh", "-s", base.reference, input=(base.context / "build").read_text())
    images = {
        "postgresql": packaged_image("postgresql", PACKAGED_POSTGRESQL),
        "mariadb": packaged_image("mariadb", PACKAGED_MARIADB),
        "ceph": packaged_image("ceph", PACKAGED_CEPH),
        "redis": packaged_image("redis", PACKAGED_REDIS),
        "quay": packaged_image("quay", NEWEST),
        "quay-mysql": packaged_image("quay", NEWEST_ON_MYSQL),
        "quay-before": packaged_image("quay", BEFORE),
    }
    for image in images.values():
        if not has_image(image.reference):
            _build(image)
    return {part: image.reference for part, image in images.items()}


def _build(image: Image) -> None:
    assert image.context is not None
    arguments = [f"--build-arg={name}={value}" for name, value in image.arguments]
    build = ["docker", "build", "--quiet", "--tag", image.reference, *arguments, "-"]
    run("env", "DOCKER_BUILDKIT=0", *build, input=context_archive(image.context))

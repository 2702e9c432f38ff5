"""Where images come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quaylab.settings.types import Identifier, Image, LocalFile, Repository, Section


class Images(Section):
    """The images and their source."""

    image_source: Literal["registry", "archive", "packages"] = Field(
        description="registry: pull; archive: load image_archive; packages: build from Debian's "
        "packages, with a stand-in for Quay",
    )
    image_archive: LocalFile | None = Field(
        description="A `docker save` file on this machine with the images named below"
    )
    quay_image: Repository = Field(description="Quay's image without its tag")
    postgresql_image: Image = Field(description="PostgreSQL's image")
    mysql_image: Image = Field(description="MySQL's image")
    redis_image: Image = Field(description="Redis' image")
    pull_secret: LocalFile | None = Field(
        description="Your config.json with the image registry's login, on this machine",
    )
    pull_secret_user: Identifier = Field(
        description="The hosts' user whose .docker/config.json it is merged into"
    )
    quay_license: LocalFile | None = Field(
        description="The file `license`, on this machine; only Quay 2.9 takes one"
    )

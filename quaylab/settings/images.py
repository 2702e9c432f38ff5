"""Where images come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quaylab.settings.types import Identifier, LocalFile, Section


class Images(Section):
    """The images and their source."""

    image_source: Literal["registry", "archive", "packages"] = Field(
        description="registry: pull; archive: load image_archive; packages: build from Debian's "
        "packages, with a stand-in for Quay",
    )
    image_archive: LocalFile | None = Field(
        description="A `docker save` file on this machine with all images that the hosts need"
    )
    pull_secret: LocalFile | None = Field(
        description="Your config.json with the image registry's login, on this machine",
    )
    pull_secret_user: Identifier = Field(
        description="User on the hosts; the login is merged into this user's .docker/config.json"
    )

    @property
    def uses_packages(self) -> bool:
        """Whether images are built from Debian's packages, so that a stand-in takes Quay's
        place."""
        return self.image_source == "packages"

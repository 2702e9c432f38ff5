"""A host's disks for its engine and for Quay's local storage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from quaylab.settings.types import Section, form

Device = Annotated[
    str,
    form(
        r"^(/dev/[A-Za-z0-9_.:@+=/-]*[A-Za-z0-9_.:@+=-]|[A-Za-z0-9_.][A-Za-z0-9_.+-]*)$", "/dev/vdb"
    ),
    Field(max_length=255),
]
VolumeGroup = Annotated[
    str, form(r"^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$", "docker-vg"), Field(max_length=60)
]


class Storage(Section):
    """Disks that are joined to one file system."""

    devices: list[Device] = Field(
        min_length=1, description="Whole disks or partitions: path, by-id path, or serial number"
    )
    volume_group: VolumeGroup | None = Field(
        None, description="The LVM volume group; None: docker-vg, for Quay's storage quay-vg"
    )
    wipe: bool = Field(False, description="Whether data on the disks may be destroyed")


class Disks(Section):
    """A host's disks."""

    docker_storage: Storage | None = Field(
        description="Disks for the engine's images and containers, such as "
        '{"devices": ["/dev/vdb"], "volume_group": "docker-vg"}; None: no disk of its own'
    )
    quay_storage: Storage | None = Field(
        description='Disks for Quay\'s local storage, such as {"devices": ["/dev/vdc"]}, mounted '
        "at quay_storage_path; None: no disk of its own"
    )

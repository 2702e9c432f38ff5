"""Ceph, where the inventory has a group for it."""

from __future__ import annotations

from pydantic import Field

from quaylab.settings.types import HostPath, Image, Section


class Ceph(Section):
    """Ceph, run here: on one host, or by cephadm on three and more."""

    ceph_image: Image = Field(description="Ceph's image, also for cephadm")
    ceph_osd_devices: tuple[HostPath, ...] = Field(
        strict=False,
        description="Each Ceph host's block devices or files for its OSDs; empty: on one host a "
        "file in its data, on several every unused disk",
    )
    ceph_osd_size_gb: int = Field(ge=1, le=65536, description="GB of an OSD that is a file")
    ceph_osd_memory_mb: int = Field(
        ge=896, le=1048576, description="MB of memory that an OSD keeps to"
    )
    ceph_data: HostPath | None = Field(
        description="Directory on a single Ceph host for its data; None: a named volume",
    )
    ceph_quota_gb: int | None = Field(
        ge=1, description="GB that Quay's blobs may take up in Ceph; None: all there is"
    )
    ceph_swift: bool = Field(
        description="Whether Quay's user in Ceph may use its Swift interface as well, as quay:swift"
    )

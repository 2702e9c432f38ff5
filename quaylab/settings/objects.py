"""Where the images' blobs are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quaylab.settings.types import (
    Address,
    Bucket,
    HostPath,
    Identifier,
    Line,
    LocalFile,
    Port,
    Region,
    Section,
    Url,
)

# What Quay's Swift client takes; each OpenStack wants some of them.
SwiftOption = Literal[
    "tenant_name",
    "tenant_id",
    "project_name",
    "project_id",
    "user_domain_name",
    "user_domain_id",
    "project_domain_name",
    "project_domain_id",
    "region_name",
    "endpoint_type",
    "service_type",
]


class Objects(Section):
    """Where the images' blobs are kept."""

    storage: Literal["local", "radosgw", "s3", "gcs", "swift"] | None = Field(
        description="Where the blobs are kept: local (a volume), radosgw (Ceph), s3 (AWS and "
        "compatible), gcs (Google) or swift (OpenStack); None: local, or radosgw with a host in "
        "group `ceph`",
    )
    storage_host: Address | None = Field(
        description="The object store's end point; None: AWS's of storage_region, Google's, or "
        "that of group `ceph`",
    )
    storage_port: Port | None = Field(
        description="Its port; None: 443, without TLS 80, and 7480 in group `ceph`"
    )
    storage_tls: bool = Field(description="Whether it is reached by TLS, which is verified")
    storage_ca: LocalFile | None = Field(
        description="Its CA (PEM) on this machine, for Quay; None: a public one",
    )
    storage_region: Region | None = Field(
        description="Its region, which s3 needs unless storage_host is set"
    )
    storage_bucket: Bucket = Field(description="Bucket of the blobs, with swift their container")
    storage_path: HostPath = Field(description="What the blobs' names in the bucket begin with")
    storage_location: Identifier = Field(
        description="Quay's name of the store; blobs are found by it, so it never changes"
    )
    storage_proxy: bool = Field(
        description="Quay hands on the blobs, for clients that can't reach the object store",
    )
    storage_iam_role: bool = Field(
        description="With s3: the role of Quay's machine at AWS takes the place of keys",
    )
    swift_auth_url: Url | None = Field(
        description="With swift: where it hands out tokens, up to its version, such as /v3",
    )
    swift_auth_version: Literal[1, 2, 3] = Field(
        description="With swift: 1 (its own), 2 or 3 (Keystone)"
    )
    swift_options: dict[SwiftOption, Line] = Field(
        description="With swift 2 and 3: os_options; 3 needs tenant_id and user_domain_name",
    )

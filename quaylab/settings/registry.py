"""The registry itself, and its certificate."""

from __future__ import annotations

from pydantic import Field

from quaylab.settings.plain_data import ConfigKeys
from quaylab.settings.types import (
    Email,
    HostName,
    HostPath,
    LabName,
    LocalFile,
    Port,
    Section,
    UserName,
    Version,
)


class Registry(Section):
    """The registry: its name, its ports, its superuser."""

    lab_name: LabName = Field(
        description="Names this registry's credentials and CA, in credentials/ on this machine",
    )
    server_hostname: HostName | None = Field(
        description="The registry's public name; None: the Quay host's inventory name if that is a "
        "full one, else quay.quaylab.lan",
    )
    quay_https_port: Port = Field(description="Port of the registry on its host")
    quay_http_port: Port = Field(
        description="Port that redirects to https on its host, to 443 alone: "
        "with another quay_https_port it isn't open"
    )
    quay_version: Version | None = Field(
        description="Quay's version, which is its image's tag; None: v3.18.0, with MySQL v3.16.5",
    )
    quay_superuser: UserName = Field(
        description="Name of Quay's first user, who is its superuser",
    )
    quay_superuser_email: Email = Field(description="The superuser's mail address")
    quay_storage_path: HostPath | None = Field(
        description="Directory on the Quay host for the images' blobs; None: a named volume",
    )
    quay_workers: int | None = Field(
        ge=1, le=64, description="Workers of each kind (WORKER_COUNT); None: fitted to the memory"
    )
    quay_config: ConfigKeys = Field(
        repr=False,  # it may have a password of somebody else's
        description="Further keys of Quay's config.yaml, such as FEATURE_PROXY_CACHE",
    )
    health_timeout: int = Field(
        ge=10, le=3600, description="Seconds that a started service has to become healthy"
    )


class Certificates(Section):
    """A certificate of your own."""

    tls_certificate: LocalFile | None = Field(
        description="Your certificate (PEM, with its chain) on this machine; None: the lab's own",
    )
    tls_key: LocalFile | None = Field(description="Its private key (PEM) on this machine")

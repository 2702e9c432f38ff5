"""Settings of the registry as a whole, and of its certificate."""

from __future__ import annotations

from pydantic import Field

from quaylab.settings.types import LabName, LocalFile, Section


class General(Section):
    """The registry as a whole."""

    lab_name: LabName = Field(
        description="Name of this registry's credentials and CA, in credentials/ on this machine",
    )
    health_timeout: int = Field(
        ge=10, le=3600, description="Seconds that a started service has to become healthy"
    )
    minimum_disk_mb: int = Field(
        ge=1024,
        le=2**30,
        description="MB of free space that images and each kind of data need before the first run",
    )


class Certificates(Section):
    """A certificate of your own."""

    tls_certificate: LocalFile | None = Field(
        description="Your certificate (PEM, with its chain) on this machine; None: one that "
        "Quaylab's own CA signs",
    )
    tls_key: LocalFile | None = Field(description="Its private key (PEM) on this machine")

"""Settings of the hosts: engine, network, address."""

from __future__ import annotations

from pydantic import Field

from quaylab.settings.types import Address, LocalFile, NoProxy, Proxy, Section, Size, Url


class Engine(Section):
    """The container engine, its logs, its proxy."""

    docker_ce_repository: Url = Field(
        description="Docker CE's package repository or a mirror of it, for RHEL 8+ and its clones",
    )
    container_log_size: Size = Field(description="Size at which a container's log is rotated")
    container_log_files: int = Field(ge=1, le=100, description="Number of log files of a container")
    http_proxy: Proxy | None = Field(
        repr=False,
        description="Proxy for http, used by the engine, builds and Quay; it can't have a password",
    )
    https_proxy: Proxy | None = Field(repr=False, description="Proxy for https, likewise")
    no_proxy: NoProxy | None = Field(description="Hosts reached without the proxy, comma separated")
    company_ca: LocalFile | None = Field(
        description="Your company's CA (PEM) on this machine, trusted by the hosts and by Quay",
    )


class Host(Section):
    """A host's address."""

    address: Address | None = Field(
        description="The host's address for its peers; None: its only address"
    )

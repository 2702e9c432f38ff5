"""Settings of the hosts: engine, network, address."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quaylab.settings.types import Address, HttpsUrl, LocalFile, NoProxy, Proxy, Section, Size


class Engine(Section):
    """The container engine, its logs, its proxy."""

    container_engine: Literal["docker", "podman"] | None = Field(
        description="docker or podman; None: the one by which the host serves the registry "
        "already, else Podman on RHEL 8+ and its clones, and Docker elsewhere",
    )
    docker_ce_repository: HttpsUrl = Field(
        description="Docker CE's package repository or a mirror of it, for RHEL 8+ and its clones",
    )
    container_log_size: Size = Field(
        description="Size at which Docker rotates a container's log; Podman's are in the journal"
    )
    container_log_files: int = Field(
        ge=1, le=100, description="Number of log files that Docker keeps"
    )
    http_proxy: Proxy | None = Field(
        repr=False,
        description="Proxy for http, used by the engine, builds and Quay; it can't have a password",
    )
    https_proxy: Proxy | None = Field(repr=False, description="Proxy for https, likewise")
    no_proxy: NoProxy | None = Field(description="Hosts reached without the proxy, comma separated")
    company_ca: LocalFile | None = Field(
        description="Your company's CA (PEM) on this machine, trusted by the hosts and by Quay",
    )


def proxy_variables(settings: Engine) -> dict[str, str]:
    """Return the environment variables with which programs use the proxy."""
    values = {
        "HTTP_PROXY": settings.http_proxy,
        "HTTPS_PROXY": settings.https_proxy,
        "NO_PROXY": settings.no_proxy,
    }
    return {name: value for name, value in values.items() if value}


class Host(Section):
    """A host's address."""

    address: Address | None = Field(
        description="The host's address for its peers; None: its ssh_hostname or its name if that "
        "is an IP address, else its only address"
    )

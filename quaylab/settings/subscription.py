"""RHEL's subscription."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from quaylab.settings.types import HOST, LocalFile, Section, check_url, form


def _digits(value: object) -> object:
    """Return a text: Red Hat's organizations are digits, which `--data` makes a number."""
    return str(value) if type(value) is int else value


Organization = Annotated[
    str,
    form(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "1234567"),
    Field(max_length=255),
    BeforeValidator(_digits),
]


# The client always uses TLS, whatever the URL's scheme; in rhsm.conf "%" has a special meaning.
Service = Annotated[
    str,
    form(rf"^https://{HOST}(/[A-Za-z0-9._~-]+)*$", "https://satellite.example.com/rhsm"),
    Field(max_length=1000),
    AfterValidator(check_url),
]
# As in Satellite: https://github.com/theforeman/foreman (app/models/user.rb).
Login = Annotated[
    str, form(r"^[A-Za-z0-9_][A-Za-z0-9_.@+$#\\-]*$", "admin@example.com"), Field(max_length=100)
]
PoolId = Annotated[str, form(r"^[0-9a-f]{1,64}$", "8a85f9833e1404a9013e3cddf95a0599")]
# A leading hyphen would be an option.
Pattern = Annotated[
    str,
    form(r"^[^\s\p{C}-]([^\p{C}\p{Zl}\p{Zp}]*[^\s\p{C}])?$", "*Employee SKU*"),
    Field(max_length=255),
]
RepositoryId = Annotated[
    str,
    form(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", "rhel-9-for-x86_64-baseos-rpms"),
    Field(max_length=255),
]
Release = Annotated[str, form(r"^[0-9][0-9A-Za-z.]{0,31}$", "9.4")]


class Subscription(Section):
    """RHEL's subscription."""

    rhsm_organization: Organization | None = Field(
        description="Organization to register RHEL hosts with, by an activation key unless "
        "rhsm_user is set",
    )
    rhsm_user: Login | None = Field(
        description="User who registers RHEL hosts, by a password instead of an activation key",
    )
    rhsm_server: Service | None = Field(
        description="Subscription service, such as https://satellite.example.com/rhsm; None: as "
        "configured on the host, by default Red Hat's",
    )
    rhsm_content: Service | None = Field(
        description="With rhsm_server: URL of its content, such as "
        "https://satellite.example.com/pulp/content; None: Red Hat's",
    )
    rhsm_ca: LocalFile | None = Field(
        description="With rhsm_server: its CA (PEM) on this machine",
    )
    rhsm_pool: PoolId | None = Field(
        description="Id of the pool to attach, where pools exist: before RHEL 10, without Simple "
        "Content Access",
    )
    rhsm_pool_matches: Pattern | None = Field(
        description="Instead of rhsm_pool: a pattern; one of the matching pools is attached",
    )
    rhsm_repositories: list[RepositoryId] | None = Field(
        description="Repositories to enable, all others being disabled; None: left as they are",
    )
    rhsm_release: Release | None = Field(
        description="RHEL release to lock the hosts to; None: not locked",
    )
    rhsm_unregister: bool = Field(
        description="With tasks/teardown.py: unregister the RHEL hosts",
    )

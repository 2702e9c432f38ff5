"""Settings: their types, bounds and meaning. Their defaults stand in group_data/all.py."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from quaylab.problems import refuse

# Data that belongs to pyinfra itself: its connectors' keys and, by "_", its global arguments.
PYINFRA_KEY = re.compile(r"^(_|ssh_|fake_|dockerssh_|docker_(identifier|platform|architecture)$)")

_EXAMPLES: dict[str, str] = {}


def _form(pattern: str, example: str) -> Any:
    """A text of a certain form; the example is what an error shows."""
    _EXAMPLES[pattern] = example
    return Field(pattern=pattern)


def _no_detour(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("must not hold '..'")
    return path


_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
Port = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[str, _form(r"^[1-9][0-9]*[km]$", "10m")]
FULL_NAME = re.compile(rf"^{_LABEL}(\.{_LABEL})+$")
HostName = Annotated[str, _form(FULL_NAME.pattern, "quay.example.com"), Field(max_length=253)]
Address = Annotated[str, _form(r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$", "192.168.254.10")]
Identifier = Annotated[str, _form(r"^[a-z_][a-z0-9_]{0,62}$", "quay")]
Image = Annotated[
    str,
    _form(
        r"^[a-z0-9][a-zA-Z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$",
        "quay.io/sclorg/redis-7-c9s:c9s",
    ),
]
Repository = Annotated[
    str,
    _form(r"^[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9._-]+)+$", "quay.io/projectquay/quay"),
]
Proxy = Annotated[str, _form(r"^https?://[^@\s]+$", "http://proxy.example.com:3128")]
HostPath = Annotated[
    str, _form(r"^/[A-Za-z0-9._/-]*[A-Za-z0-9._-]$", "/srv/quay"), AfterValidator(_no_detour)
]
LabName = Annotated[str, _form(r"^[a-z0-9][a-z0-9-]{0,30}$", "quaylab")]
DumpName = Annotated[str, _form(r"^[a-z0-9][A-Za-z0-9.-]*$", "v3.16.5-to-v3.18.0-20260131T120000Z")]
Version = Annotated[str, _form(r"^v[0-9]+\.[0-9]+\.[0-9]+$", "v3.18.0")]
# Quay's own rule for a name space.
UserName = Annotated[
    str,
    _form(r"^[a-z0-9]+([._-][a-z0-9]+)*$", "quayadmin"),
    Field(min_length=2, max_length=255),
]
Email = Annotated[str, _form(r"^[^@\s]+@[^@\s]+$", "quayadmin@example.com")]
Url = Annotated[str, _form(r"^https?://\S+[^/]$", "https://download.docker.com/linux")]


def _local_file(value: object) -> object:
    """A path on the machine that runs pyinfra, with ``~`` expanded; the file has to be there."""
    if isinstance(value, str):
        value = Path(value).expanduser()
    if isinstance(value, Path) and not value.is_file():
        raise ValueError("no such file on this machine")
    return value


LocalFile = Annotated[Path, BeforeValidator(_local_file)]


class Settings(BaseModel):
    """Every run-wide setting; the README's table of settings is made from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # The registry
    lab_name: LabName = Field(
        description="Names this registry's credentials and CA, in credentials/ on this machine",
    )
    server_hostname: HostName | None = Field(
        description="The registry's public name; None: the Quay host's inventory name if that is a "
        "full one, else quay.quaylab.lan",
    )
    quay_https_port: Port = Field(description="Port of the registry on its host")
    quay_http_port: Port = Field(description="Port that redirects to https on its host")
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
    quay_config: dict[str, Any] = Field(
        description="Further keys of Quay's config.yaml, such as FEATURE_PROXY_CACHE"
    )
    health_timeout: int = Field(
        ge=10, le=3600, description="Seconds that a started service has to become healthy"
    )

    # Certificates
    tls_certificate: LocalFile | None = Field(
        description="Your certificate (PEM, with its chain) on this machine; None: the lab's own",
    )
    tls_key: LocalFile | None = Field(description="Its private key (PEM) on this machine")

    # The database
    database_engine: Literal["postgresql", "mysql"] = Field(
        description="postgresql or mysql: Quay speaks no other",
    )
    database_name: Identifier = Field(description="Name of Quay's database")
    database_user: Identifier = Field(description="Quay's role in it, no superuser")
    database_data: HostPath | None = Field(
        description="Directory on the database host for its data; None: a named volume",
    )
    database_listen: Address | None = Field(
        description="Address the database listens on; None: loopback, or the host's address when "
        "Quay runs elsewhere",
    )
    database_host: Address | None = Field(
        description="A database that runs elsewhere; needs no group `database`",
    )
    database_port: Port | None = Field(description="Its port; None: 5432, with MySQL 3306")
    database_backup: Version | None = Field(
        description="With database_host: Quay's version that your own backup is of, which an "
        "upgrade from that version asks for",
    )

    # Redis
    redis_listen: Address | None = Field(
        description="Address Redis listens on; None: loopback, or the host's address when Quay "
        "runs elsewhere",
    )
    redis_host: Address | None = Field(
        description="A Redis that runs elsewhere; needs no group `redis`"
    )
    redis_port: Port = Field(description="Port of Redis")

    # Images
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

    # The engine and the network
    docker_ce_repository: Url = Field(
        description="Docker CE's package repository or a mirror of it, for RHEL 8+ and its kin",
    )
    container_log_size: Size = Field(description="Size at which a container's log is rotated")
    container_log_files: int = Field(ge=1, le=100, description="Log files kept of a container")
    http_proxy: Proxy | None = Field(
        repr=False,
        description="Proxy for http, for the engine, builds and Quay; without a password in it",
    )
    https_proxy: Proxy | None = Field(repr=False, description="Proxy for https, likewise")
    no_proxy: str | None = Field(description="Hosts reached without the proxy, comma separated")
    company_ca: LocalFile | None = Field(
        description="Your company's CA (PEM) on this machine, trusted by the hosts and by Quay",
    )

    # What a host needs
    minimum_cpus: int = Field(ge=1, le=1024, description="Processors that a Quay host needs")
    minimum_memory_mb: int | None = Field(
        ge=256,
        description="MB of memory that a Quay host needs; None: 4096, with the database on it 8192",
    )
    minimum_disk_mb: int = Field(
        ge=1024,
        description="MB of free space that images and each kind of data need before the first run",
    )

    # Going back
    restore: DumpName | None = Field(
        description="With tasks/restore_database.py: the dump to restore; None: the newest",
    )

    # Taking it down
    purge: str | None = Field(
        description="With tasks/teardown.py: the registry's name, to remove all data too"
    )


class HostSettings(BaseModel):
    """What one host may have of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    address: Address | None = Field(
        default=None, description="The host's address for its peers; None: the one it has"
    )


@dataclass(frozen=True)
class HostInput:
    """A host as the inventory gives it: its name, its groups, and all data it sees."""

    name: str
    groups: tuple[str, ...]
    data: Mapping[str, Any]


def load(hosts: list[HostInput]) -> tuple[Settings, dict[str, HostSettings]]:
    """The run's settings and each host's own, from the whole inventory.

    Raises:
        Refusal: unknown keys, wrong values, or hosts that differ in a run-wide key.
    """
    problems: list[str] = []
    own: dict[str, HostSettings] = {}
    common: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for host in hosts:
        mine: dict[str, Any] = {}
        for key, value in host.data.items():
            if PYINFRA_KEY.match(key):
                continue
            if key in HostSettings.model_fields:
                mine[key] = value
            elif key not in common:
                common[key], said_by[key] = value, host.name
            elif common[key] != value:
                problems.append(
                    f"{key}: {said_by[key]} and {host.name} differ; it holds for the whole run: "
                    "set it once, in the group `all`"
                )
        try:
            own[host.name] = HostSettings.model_validate(mine)
        except ValidationError as error:
            problems.extend(f"{host.name}: {line}" for line in _explain(error, HostSettings))
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(common)
    except ValidationError as error:
        problems.extend(_explain(error, Settings))
    refuse(problems)
    assert settings is not None  # no problem was found
    return settings, own


def _explain(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """One line per problem: the key, what is wrong with it, and what would be right."""
    for problem in error.errors():
        key = str(problem["loc"][0])
        field = model.model_fields.get(key)
        if problem["type"] == "extra_forbidden" or field is None:
            near = difflib.get_close_matches(key, [*Settings.model_fields, "address"], n=1)
            hint = f"did you mean {near[0]}?" if near else "group_data/all.py lists all settings"
            yield f"{key}: no such setting; {hint}"
        elif problem["type"] == "missing":
            yield f"{key}: not set; group_data/all.py has its default ({field.description})"
        else:
            # A proxy's address may hold a password: such values are not repeated.
            found = f"{problem['input']!r}: " if field.repr else ""
            yield f"{key}: {found}{_wrong(problem)} ({field.description})"


def _wrong(problem: ErrorDetails) -> str:
    """What is wrong, in an operator's words rather than pydantic's."""
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        example = _EXAMPLES[context["pattern"]]
        return f"does not have the right form, which is for example {example}"
    if problem["type"] == "is_instance_of":
        return "it should be a file's path"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return message.replace("input should", "it should").replace("string should", "it should")

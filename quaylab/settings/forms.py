"""The forms that settings have, and what an error shows as an example of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """Settings that belong together; a setting made of keys is one as well."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# An example by pattern, which an error shows.
EXAMPLES: dict[str, str] = {}


def form(pattern: str, example: str) -> Any:
    """A text of a certain form; the example is what an error shows."""
    EXAMPLES[pattern] = example
    return Field(pattern=pattern)


def _no_detour(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("must not hold '..'")
    return path


_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
Port = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[str, form(r"^[1-9][0-9]*[km]$", "10m")]
FULL_NAME = re.compile(rf"^{_LABEL}(\.{_LABEL})+$")
HostName = Annotated[str, form(FULL_NAME.pattern, "quay.example.com"), Field(max_length=253)]
Address = Annotated[str, form(r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$", "192.168.254.10")]
Identifier = Annotated[str, form(r"^[a-z_][a-z0-9_]{0,62}$", "quay")]
# As providers name them: with MySQL at Azure it was admin@server.
Administrator = Annotated[str, form(r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$", "postgres")]
Image = Annotated[
    str,
    form(
        r"^[a-z0-9][a-zA-Z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$",
        "quay.io/sclorg/redis-7-c9s:c9s",
    ),
]
Repository = Annotated[
    str,
    form(r"^[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9._-]+)+$", "quay.io/projectquay/quay"),
]
Proxy = Annotated[str, form(r"^https?://[^@\s]+$", "http://proxy.example.com:3128")]
HostPath = Annotated[
    str, form(r"^/[A-Za-z0-9._/-]*[A-Za-z0-9._-]$", "/srv/quay"), AfterValidator(_no_detour)
]
# As S3 has it, and the underscore that Ceph and Google take too.
Bucket = Annotated[str, form(r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", "quay-storage")]
Region = Annotated[str, form(r"^[a-z0-9]+(-[a-z0-9]+)*$", "eu-central-1")]
LabName = Annotated[str, form(r"^[a-z0-9][a-z0-9-]{0,30}$", "quaylab")]
DumpName = Annotated[str, form(r"^[a-z0-9][A-Za-z0-9.-]*$", "v3.16.5-to-v3.18.0-20260131T120000Z")]
Version = Annotated[str, form(r"^v[0-9]+\.[0-9]+\.[0-9]+$", "v3.18.0")]
# Quay's own rule for a name space.
UserName = Annotated[
    str,
    form(r"^[a-z0-9]+([._-][a-z0-9]+)*$", "quayadmin"),
    Field(min_length=2, max_length=255),
]
Email = Annotated[str, form(r"^[^@\s]+@[^@\s]+$", "quayadmin@example.com")]
Url = Annotated[str, form(r"^https?://\S+[^/]$", "https://mirror.example.com/path")]


def _local_file(value: object) -> object:
    """A path on the machine that runs pyinfra, with ``~`` expanded; the file has to be there."""
    if isinstance(value, str):
        value = Path(value).expanduser()
    if isinstance(value, Path) and not value.is_file():
        raise ValueError("no such file on this machine")
    return value


LocalFile = Annotated[Path, BeforeValidator(_local_file)]

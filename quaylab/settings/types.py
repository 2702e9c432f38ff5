"""The types of settings, each with an example for errors."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """Settings that belong together; also the type of a setting that has keys of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# The example that an error shows, by pattern.
EXAMPLES: dict[str, str] = {}


def form(pattern: str, example: str) -> Any:
    """Return a field for texts of a certain form; an error shows the example."""
    EXAMPLES[pattern] = example
    return Field(pattern=pattern)


def _check_path(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("must not hold '..'")
    # SELinux's rules, for example, know a path in one way of writing only.
    canonical = f"/{posixpath.normpath(path).lstrip('/')}"
    if path != canonical:
        raise ValueError(f"must be written as {canonical}")
    if any(len(name) > 255 for name in path.split("/")):
        raise ValueError("holds a name of more than 255 characters, which no file system takes")
    return path


def _check_address(address: str) -> str:
    """Check what a pattern can't: that an address could be resolved, and has no port in it. An
    IPv6 address is returned in its canonical form."""
    if ":" in address or re.fullmatch("[0-9.]+", address):
        try:
            return canonical_address(address)
        except ValueError:
            raise ValueError(
                "is not an address; a port has a setting of its own"
                if ":" in address
                else "is not an address; an IPv4 one has four numbers up to 255"
            ) from None
    elif not all(0 < len(label) < 64 for label in address.split(".")):
        raise ValueError("has a label, between dots, that is not 1 to 63 characters long")
    return address


def check_url(url: str) -> str:
    """Check the host and the port of a URL."""
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as error:
        raise ValueError(f"has an invalid host or port: {error}") from None
    if port == 0:
        raise ValueError("has port 0, which does not exist")
    _check_address(host or "")
    return url


def _check_registry_port(image: str) -> str:
    port = re.search(":([0-9]+)/", image)
    if port and not 1 <= int(port[1]) <= 65535:
        raise ValueError(f"has port {port[1]}, which does not exist")
    return image


def _check_asterisk(hosts: str) -> str:
    """Refuse what each program reads differently: Python knows `*` as the whole value only."""
    if hosts != "*" and "*" in re.split(", ?", hosts):
        raise ValueError("has * beside others; write * alone, which means every host")
    return hosts


def is_ip_address(text: object) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def canonical_address(text: str) -> str:
    """Return an IP address in the one form in which certificates and engines tell it as well: an
    IPv6 address can be written in several.

    Raises:
        ValueError: it is a name.
    """
    return str(ipaddress.ip_address(text))


def is_loopback(text: str) -> bool:
    """Whether it is an address, or the name of one, at which a host reaches itself alone."""
    if is_ip_address(text):
        return ipaddress.ip_address(text).is_loopback
    return text.lower() == "localhost"


# A label of a DNS name, with DNS' limit of 63 characters.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The host in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
# Characters that need no quoting in a shell, unit, XML or YAML.
_PATH = "[A-Za-z0-9._~%+@=,:-]+"
QUERY = "[A-Za-z0-9._~%+@=,:/?&-]+"
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[str, form(r"^[1-9][0-9]{0,5}[km]$", "10m")]
FULL_NAME = re.compile(rf"^{_LABEL}(\.{_LABEL})+$")
HostName = Annotated[str, form(FULL_NAME.pattern, "quay.example.com"), Field(max_length=253)]
# A host as pyinfra names it, such as node3 or @ssh/node3, or as a cluster of ours names its member.
InventoryName = Annotated[
    str, form(r"^[A-Za-z0-9@_][A-Za-z0-9@_./:-]*$", "node3.example.com"), Field(max_length=253)
]
Address = Annotated[
    str,
    form(r"^[A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9:])?$", "192.168.254.10"),
    Field(max_length=253),
    AfterValidator(_check_address),
]
Identifier = Annotated[str, form(r"^[a-z_][a-z0-9_]{0,62}$", "quay")]
# With the characters that providers use: with MySQL at Azure it was admin@server.
Administrator = Annotated[str, form(r"^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}$", "postgres")]
# As the engines read an image's name: registry, path, tag.
_REGISTRY = rf"{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?"
_PART = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
ImageName = Annotated[
    str,
    form(
        rf"^({_REGISTRY}/)?{_PART}(/{_PART})*:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}$",
        "quay.io/sclorg/redis-7-c9s:c9s",
    ),
    Field(max_length=255),
    AfterValidator(_check_registry_port),
]
Repository = Annotated[
    str,
    form(rf"^({_REGISTRY}|{_PART})(/{_PART})+$", "quay.io/projectquay/quay"),
    Field(max_length=255),
    AfterValidator(_check_registry_port),
]
Proxy = Annotated[
    str,
    form(rf"^https?://{HOST}/?$", "http://proxy.example.com:3128"),
    Field(max_length=300),
    AfterValidator(check_url),
]
_UNPROXIED = r"[A-Za-z0-9.*_\[][A-Za-z0-9.*:_/\[\]-]*"
NoProxy = Annotated[
    str,
    form(rf"^{_UNPROXIED}(, ?{_UNPROXIED})*$", "localhost,.example.com,10.0.0.0/8"),
    Field(max_length=4000),
    AfterValidator(_check_asterisk),
]
HostPath = Annotated[
    str,
    form(r"^/[A-Za-z0-9._/-]*[A-Za-z0-9._-]$", "/srv/quay"),
    Field(max_length=1000),
    AfterValidator(_check_path),
]
# S3's rule, and the underscore, which Ceph and Google accept too.
Bucket = Annotated[str, form(r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", "quay-storage")]
Region = Annotated[str, form(r"^[a-z0-9]+(-[a-z0-9]+)*$", "eu-central-1"), Field(max_length=63)]
LabName = Annotated[str, form(r"^[a-z0-9][a-z0-9-]{0,30}$", "quaylab")]
DumpName = Annotated[
    str,
    form(r"^[a-z0-9][A-Za-z0-9.-]*$", "v3.16.5-to-v3.18.0-20260131T120000Z"),
    Field(max_length=200),
]
Version = Annotated[str, form(r"^v[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$", "v3.18.0")]
# Quay's own rule for a name space.
UserName = Annotated[
    str,
    form(r"^[a-z0-9]+([._-][a-z0-9]+)*$", "quayadmin"),
    Field(min_length=2, max_length=255),
]
Email = Annotated[
    str,
    form(
        r"^[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$", "quayadmin@example.com"
    ),
    Field(max_length=254),
]
Url = Annotated[
    str,
    form(rf"^https?://{HOST}(/{_PATH})*$", "https://mirror.example.com/path"),
    Field(max_length=1000),
    AfterValidator(check_url),
]
# From where keys or checksums come, on whose word something becomes root's.
HttpsUrl = Annotated[
    str,
    form(rf"^https://{HOST}(/{_PATH})*$", "https://mirror.example.com/docker"),
    Field(max_length=1000),
    AfterValidator(check_url),
]
# Free text in one line, without control characters and those that change the text's direction
# (\p{C}). Whatever writes it to a file quotes it.
Line = Annotated[
    str, form(r"^[^\p{C}\p{Zl}\p{Zp}]+$", "a line of printable text"), Field(max_length=1000)
]


def _local_file(value: object) -> object:
    """Return a path on the machine that runs pyinfra, with ``~`` expanded; the file must exist."""
    if isinstance(value, (str, Path)):
        try:
            path = Path(value).expanduser()
            exists, is_regular = path.exists(), path.is_file()
        except (OSError, RuntimeError, ValueError):  # too long, an unknown user, a NUL
            exists = False
        if not exists:
            raise ValueError("no such file on this machine")
        if not is_regular:
            raise ValueError("is a folder, a pipe or a device; name a file")
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise ValueError(f"can't be read: {error.strerror}") from None
        return path
    return value


LocalFile = Annotated[Path, BeforeValidator(_local_file)]

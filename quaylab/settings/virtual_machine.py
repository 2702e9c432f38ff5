"""A VM of the group `lab`: its size, its image, and what its first boot does."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from quaylab.settings.hypervisor import Name
from quaylab.settings.types import HOST, QUERY, Line, Section, form

ImageUri = Annotated[
    str,
    form(
        rf"^(https?://{HOST}|file://)/{QUERY}$",
        "https://cloud.debian.org/images/cloud/trixie/…/debian-13-….qcow2, or file:///srv/….qcow2",
    ),
    Field(max_length=2000),
]
# By TLS, as the image itself may come without it.
_SUMS = f"https://{HOST}/{QUERY}"
Checksum = Annotated[
    str,
    form(
        rf"^(sha256:([0-9a-f]{{64}}|{_SUMS})|sha512:([0-9a-f]{{128}}|{_SUMS}))$",
        "sha256:e383dd41…, with 64 digits, or sha256:https://…/SHA256SUMS",
    ),
    Field(max_length=2000),
]
PublicKey = Annotated[
    str,
    form(
        r"^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\p{C}\p{Zl}\p{Zp}]*)?$",
        "ssh-ed25519 AAAAC3… me",
    ),
    Field(max_length=16384),
]
# A name for apt or dnf; with a leading hyphen it would be an option.
Package = Annotated[
    str, form(r"^[A-Za-z0-9@][A-Za-z0-9@.+:~_=^-]*$", "qemu-guest-agent"), Field(max_length=255)
]
# A script for the VM's shell, which may have several lines.
Script = Annotated[
    str,
    form(r"^([^\p{C}]|[\n\t])+$", "systemctl enable --now qemu-guest-agent"),
    Field(max_length=16384),
]


class Disk(Section):
    """One of a VM's disks besides the root disk. ``size`` is in GB."""

    size: int = Field(ge=1, le=65536)
    pool: Name


class Resources(Section):
    """A VM's size. ``ram`` is in MB."""

    vcpus: int = Field(ge=1, le=1024)
    ram: int = Field(ge=256, le=16777216)
    disks: list[Disk]
    network: Name


class VirtualMachine(Section):
    """A virtual machine, in the group `lab`."""

    resources: Resources | None = Field(
        description="A VM's vcpus, ram (MB), disks besides the root disk (each with size in GB and "
        "pool) and network",
    )
    image_uri: ImageUri = Field(
        description="A VM's cloud image, qcow2, by http(s) or as a file on the hypervisor"
    )
    image_checksum: Checksum | None = Field(
        description="Its sha256: or sha512:, with the digits or the URL of a list of checksums"
    )
    convert_to_lv_on_vg: Name | None = Field(
        description="The lvm pool for a VM's root disk, as a logical volume; None: a file in "
        "/var/lib/libvirt/images"
    )
    cloud_user_passwd: Line | None = Field(
        repr=False,
        description="Password of cloud-user in a VM; None: no login by password",
    )
    ssh_pub_key: PublicKey | None = Field(description="Public SSH key of cloud-user in a VM")
    install_packages: list[Package] = Field(description="Packages that a VM's first boot installs")
    run_cmds: list[Script] = Field(description="Commands that a VM's first boot runs at its end")
    update: bool = Field(description="Whether a VM's first boot updates all packages")

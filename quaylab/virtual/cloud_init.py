"""The input of cloud-init at a VM's first boot: https://cloudinit.readthedocs.io/."""

from __future__ import annotations

from typing import Any

import yaml
from passlib.hash import sha512_crypt

from quaylab.virtual.lab import USER, Machine


def user_data(machine: Machine, existing: str | None = None) -> str:
    """Return user data with one user, who has password and key and may become root.

    Args:
        existing: the user data of an earlier run. If its hash fits the password, it is used again:
            a new hash, with another salt, would look like a change.
    """
    settings = machine.settings
    user: dict[str, Any] = {
        "name": USER,
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": settings.cloud_user_passwd is None,
    }
    if settings.cloud_user_passwd is not None:
        user["passwd"] = _hash(settings.cloud_user_passwd, existing)
    if settings.ssh_pub_key:
        user["ssh_authorized_keys"] = [settings.ssh_pub_key]
    config: dict[str, Any] = {
        "hostname": machine.name.partition(".")[0],
        "fqdn": machine.name,
        "users": [user],
        "ssh_pwauth": settings.cloud_user_passwd is not None,
        "growpart": {"mode": "auto", "devices": ["/"]},
        "resize_rootfs": True,
        # The host key is made on the hypervisor: then pyinfra's machine knows it beforehand.
        "ssh_deletekeys": True,
    }
    if settings.update:
        config |= {"package_update": True, "package_upgrade": True}
    if settings.install_packages:
        config |= {"package_update": True, "packages": list(settings.install_packages)}
    if settings.run_cmds:
        config["runcmd"] = list(settings.run_cmds)
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def meta_data(machine: Machine) -> str:
    """Return the VM's identity. A VM made again has a new disk, so it can have the same one."""
    return yaml.safe_dump({"instance-id": machine.uuid, "local-hostname": machine.name})


def _hash(password: str, existing: str | None) -> str:
    before = (yaml.safe_load(existing) or {}) if existing else {}
    for user in before.get("users", []):
        if "passwd" in user and sha512_crypt.verify(password, user["passwd"]):
            return str(user["passwd"])
    # glibc's default: with other rounds the hash has "rounds=", which some tools don't know.
    return str(sha512_crypt.using(rounds=5000).hash(password))

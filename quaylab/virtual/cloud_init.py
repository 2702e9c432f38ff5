"""What cloud-init reads at a VM's first boot: https://cloudinit.readthedocs.io/."""

from __future__ import annotations

from typing import Any

import yaml
from passlib.hash import sha512_crypt

from quaylab.virtual.lab import USER, Machine


def user_data(machine: Machine, kept: str | None = None) -> str:
    """One user for every image, with password and key, who may become root.

    Args:
        kept: what an earlier run has written. A hash in it that fits the password is taken from
            it: a new one, with another salt, would look like another password.
    """
    own = machine.settings
    user: dict[str, Any] = {
        "name": USER,
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": own.cloud_user_passwd is None,
    }
    if own.cloud_user_passwd is not None:
        user["passwd"] = _hash(own.cloud_user_passwd, kept)
    if own.ssh_pub_key:
        user["ssh_authorized_keys"] = [own.ssh_pub_key]
    config: dict[str, Any] = {
        "hostname": machine.name.partition(".")[0],
        "fqdn": machine.name,
        "users": [user],
        "ssh_pwauth": own.cloud_user_passwd is not None,
        "growpart": {"mode": "auto", "devices": ["/"]},
        "resize_rootfs": True,
        # The hypervisor's, which the machine that runs pyinfra knows beforehand.
        "ssh_deletekeys": True,
    }
    if own.update:
        config |= {"package_update": True, "package_upgrade": True}
    if own.install_packages:
        config |= {"package_update": True, "packages": list(own.install_packages)}
    if own.run_cmds:
        config["runcmd"] = list(own.run_cmds)
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def meta_data(machine: Machine) -> str:
    """The VM's identity: a VM made anew has a new disk, so it may keep its own."""
    return yaml.safe_dump({"instance-id": machine.uuid, "local-hostname": machine.name})


def _hash(password: str, kept: str | None) -> str:
    before = (yaml.safe_load(kept) or {}) if kept else {}
    for user in before.get("users", []):
        if "passwd" in user and sha512_crypt.verify(password, user["passwd"]):
            return str(user["passwd"])
    # glibc's own count of rounds; "rounds=" in the hash is not understood by every old tool.
    return str(sha512_crypt.using(rounds=5000).hash(password))

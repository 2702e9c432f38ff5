"""A VM's user data and metadata for cloud-init."""

from __future__ import annotations

from typing import Any

import yaml
from passlib.hash import sha512_crypt

from quaylab.virtual.cloud_init import meta_data, user_data
from tests.unit.virtual import VM, lab

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbxUBHKYKCQdamauSfOuZuKz2yToarfouDlMeh7MSpM me"


def _user_data(**changes: Any) -> Any:
    text = user_data(lab(**changes).machines[VM])
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def test_one_user_who_may_become_root() -> None:
    data = _user_data(ssh_pub_key=KEY)
    (user,) = data["users"]
    assert user["name"] == "cloud-user"
    assert user["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
    assert user["ssh_authorized_keys"] == [KEY]
    assert (data["hostname"], data["fqdn"]) == ("quay", VM)


def test_the_password_is_hashed() -> None:
    data = _user_data(cloud_user_passwd="hunter2 'quoted'")
    assert "hunter2" not in str(data)
    assert data["users"][0]["passwd"].startswith("$6$")
    assert "rounds" not in data["users"][0]["passwd"]
    assert sha512_crypt.verify("hunter2 'quoted'", data["users"][0]["passwd"])
    assert data["ssh_pwauth"] is True


def test_without_a_password_password_logins_are_off() -> None:
    data = _user_data(cloud_user_passwd=None, ssh_pub_key=KEY)
    assert "passwd" not in data["users"][0]
    assert data["users"][0]["lock_passwd"] is True
    assert data["ssh_pwauth"] is False


def test_the_same_password_keeps_its_hash() -> None:
    machine = lab().machines[VM]
    first = user_data(machine)
    assert user_data(machine) != first
    assert user_data(machine, first) == first
    other = user_data(lab(cloud_user_passwd="other").machines[VM], first)
    assert yaml.safe_load(other)["users"][0]["passwd"] not in first


def test_optional_keys() -> None:
    assert not {"packages", "runcmd", "package_upgrade"} & set(_user_data())
    data = _user_data(install_packages=["vim"], run_cmds=["echo 'a: b' # c"], update=True)
    assert data["packages"] == ["vim"]
    assert data["runcmd"] == ["echo 'a: b' # c"]
    assert data["package_upgrade"] is True


def test_identity() -> None:
    machine = lab().machines[VM]
    assert yaml.safe_load(meta_data(machine)) == {
        "instance-id": machine.uuid,
        "local-hostname": VM,
    }

"""Logging in to a VM as the deploy will: by its known host key, with password or key."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import paramiko

from quaylab.virtual.lab import USER, Machine

TIMEOUT = 20
# Written by cloud-init at the end of each boot, in every version since 0.7.5.
RESULT = "/run/cloud-init/result.json"


class NotYet(Exception):
    """What a VM still lacks."""


@dataclass(frozen=True)
class SshTarget:
    """An address and port that lead to a VM's SSH, the key it has to show, and maybe a private
    key to log in with (else the agent's and the user's own)."""

    address: str
    port: int
    host_key: str
    key_file: str | None


def first_boot(machine: Machine, target: SshTarget) -> list[str]:
    """The errors of a first boot that is over.

    Raises:
        NotYet: no SSH, no login, or cloud-init still at work.
    """
    client = paramiko.SSHClient()
    kind, packed = target.host_key.split()[:2]
    key = paramiko.PKey.from_type_string(kind, base64.b64decode(packed))
    for name in (target.address, f"[{target.address}]:{target.port}"):
        client.get_host_keys().add(name, kind, key)
    try:
        client.connect(
            target.address,
            target.port,
            USER,
            machine.settings.cloud_user_passwd,
            key_filename=target.key_file,
            timeout=TIMEOUT,
            banner_timeout=TIMEOUT,
            auth_timeout=TIMEOUT,
        )
        _, output, _ = client.exec_command(f"cat {RESULT}", timeout=TIMEOUT)
        result = output.read().decode()
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise NotYet(f"SSH ({error})") from error
    finally:
        client.close()
    if not result.strip():
        raise NotYet("cloud-init")
    return [str(error) for error in json.loads(result).get("v1", {}).get("errors", [])]

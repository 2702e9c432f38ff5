"""The first login to a VM, as the deploy will do it: with its known host key, password or key."""

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
    """The VM's first boot is not finished; the message names what is missing."""


@dataclass(frozen=True)
class SshTarget:
    """Address and port of a VM's SSH server (or a tunnel to it), its host key, and the private key
    to log in with (None: the agent's and the user's keys)."""

    address: str
    port: int
    host_key: str
    key_file: str | None


def first_boot(machine: Machine, target: SshTarget) -> list[str]:
    """Return the errors of a finished first boot.

    Raises:
        NotYet: no SSH, no login, or cloud-init is still running.
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

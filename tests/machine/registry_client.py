"""A container client on a machine of its own, like that of any user of the registry."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from tests.machine.machines import Shell, wait_until


@dataclass(frozen=True)
class RegistryClient:
    """``registry`` is ``host[:port]``; the client reaches it at ``address``."""

    machine: Shell
    registry: str

    def know(self, address: str) -> None:
        """Make the machine resolve the registry's name, as DNS would."""
        hostname = self.registry.partition(":")[0]
        self.machine.run(f"echo '{address} {hostname}' >>/etc/hosts")
        wait_until(self._is_found, f"the engine finds {hostname}")  # it caches /etc/hosts for 5 s

    def _is_found(self) -> bool:
        return "no such host" not in self._run(f"pull {self.registry}/no/image", check=False).stderr

    def trust(self, ca: str) -> None:
        """Save the CA where Docker looks for it, and Podman too."""
        self.machine.run(
            f"mkdir -p {self._certificates}; cat >{self._certificates}/ca.crt", input=ca
        )

    def distrust(self) -> None:
        self.machine.run(f"rm -r {self._certificates}")

    def login(self, user: str, password: str) -> subprocess.CompletedProcess[str]:
        command = f"login --username {user} --password-stdin {self.registry}"
        return self._run(command, check=False, input=password)

    def push(self, image: str, name: str) -> None:
        """Push a local image as ``name``, and remove that tag here."""
        target = f"{self.registry}/{name}"
        self._run(f"tag {image} {target}")
        self._run(f"push {target}")
        self._run(f"image rm {target}")

    def pull(self, name: str) -> str:
        """Pull ``name`` again; return the image's id."""
        target = f"{self.registry}/{name}"
        self._run(f"image rm {target}", check=False)
        self._run(f"pull {target}")
        return self._run(f"image inspect --format '{{{{.Id}}}}' {target}").stdout

    def _run(
        self, words: str, check: bool = True, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.machine.run(f"{self.machine.engine} {words}", check=check, input=input)

    @property
    def _certificates(self) -> str:
        return f"/etc/docker/certs.d/{self.registry}"

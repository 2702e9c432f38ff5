"""A registry deployed over SSH, with what tests need to know about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaylab.secrets.credentials import Credentials, Store
from tests.leaks import secrets_of
from tests.machine.machines import (
    PROJECT,
    CommandFailed,
    Machine,
    Operator,
    Result,
    run,
    wait_until,
)

HOSTNAME = "quay.quaylab.test"
ADMIN = "quayadmin"
TASKS = (
    *("object_storage", "subscription", "docker_storage", "engine", "images", "ceph"),
    *("database", "redis", "quay", "verify"),
)


@dataclass(frozen=True)
class Deployment:
    """An inventory of machines by service, and runs of pyinfra with it."""

    operator: Operator
    inventory: Path
    machines: Mapping[str, Machine]
    store: Store

    @classmethod
    def of(
        cls,
        operator: Operator,
        folder: Path,
        groups: Mapping[str, Sequence[Machine]],
        **settings: Any,
    ) -> Deployment:
        """Write the inventory; the lab is named after ``folder``."""
        # With this session's process id: two sessions would block each other by the lock.
        lab_name = f"test-{os.getpid()}-{folder.name}".replace("_", "-").lower()[:31]
        data = {
            "lab_name": lab_name,
            "server_hostname": HOSTNAME,
            "image_source": "packages",
            "minimum_disk_mb": 3072,
            **settings,
        }
        inventory = operator.inventory(folder, groups, data)
        machines = {part: members[0] for part, members in groups.items()}
        return cls(operator, inventory, machines, Store(lab_name, PROJECT / "credentials"))

    def run(self, deploy: str = "deploy.py", *arguments: str) -> Result:
        return self.operator.pyinfra(self.inventory, deploy, *arguments)

    def changed(self) -> list[str]:
        """Run deploy.py, and return the names of the operations that changed something."""
        return [name for name, _ in self.run().changed()]

    def kill(
        self, deploy: str, *arguments: str, when: Callable[[], bool], within: float = 60
    ) -> None:
        """Kill a run, so that it can't clean up, as soon as ``when`` returns true.

        + within: in how many seconds it has to
        """
        with self.operator.start(self.inventory, deploy, *arguments) as running:
            try:
                wait_until(
                    lambda: when() or running.poll() is not None, "the run comes so far", within
                )
                if running.poll() is not None:
                    raise CommandFailed(f"pyinfra ended first\n{running.communicate()}")
            finally:
                running.kill()

    def verify(self, *options: str) -> None:
        """Run the hosts' own tests, as ``./lab verify`` does."""
        run(
            *(sys.executable, "-m", "pytest", "--hosts=all", f"--inventory={self.inventory}"),
            *("tests/hosts", "-p", "no:cacheprovider", *options),
            cwd=PROJECT,
        )

    @property
    def credentials(self) -> Credentials:
        """The credentials in their file."""
        assert self.store.exists
        return self.store.load(environment={})

    @property
    def secrets(self) -> dict[str, str]:
        """The secret values of the credentials file, by key."""
        return secrets_of(self.credentials)

    @property
    def password(self) -> str:
        return self.secrets["superuser_password"]

    @property
    def ca(self) -> str:
        return self.store.ca_path.read_text()

    def forget(self) -> None:
        """Remove the credentials that the runs made in the project."""
        self.store.remove()
        self.store.path.with_suffix(".lock").unlink(missing_ok=True)

"""libvirt for the tests: its daemons are started if they don't run yet."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine.machines import run, wait_until
from tests.vm.virtual_lab import LIBVIRT

# In this order, because libvirtd uses virtlogd for consoles.
DAEMONS = ("virtlogd", "libvirtd")


@contextmanager
def libvirt(log: Path) -> Iterator[None]:
    """Start libvirt's daemons if it doesn't answer, and stop them at the end."""
    started: list[subprocess.Popen[bytes]] = []
    with log.open("wb") as output:
        try:
            if not _answers():
                Path("/run/libvirt").mkdir(exist_ok=True)
                for daemon in DAEMONS:
                    # In a session of its own, so that Ctrl-C doesn't stop it before the clean-up.
                    process = subprocess.Popen(
                        [f"/usr/sbin/{daemon}"],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                    started.append(process)
                wait_until(_answers, f"libvirt answers (see {log})")
            yield
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(timeout=60)


def _answers() -> bool:
    return run("virsh", "--connect", LIBVIRT, "uri", check=False).returncode == 0

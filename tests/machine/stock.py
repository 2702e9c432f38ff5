"""An engine's data with all packaged images: unpacked once, then linked into each stocked machine.

To load the images of a registry took about ten seconds for each machine.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.machine.machines import LABEL, building, run, volume_path, wait_until

PREFIX = f"{LABEL}-stock-"
DAY = 86400  # seconds


def volume(references: Iterable[str]) -> str:
    """Return the volume with the data of an engine with these images; fill one if there is none.

    It stays for the next session. Those that no session has used for a day are removed.
    """
    wanted = sorted(references)
    name = f"{PREFIX}{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:12]}"
    with building(f"{LABEL}-stock"):
        listed = run("docker", "volume", "ls", f"--filter=name={PREFIX}", "--format={{.Name}}")
        for outdated in filter(_is_outdated, listed.stdout.split()):
            run("docker", "volume", "rm", outdated)
        run("docker", "volume", "create", name)
        if not _used(name).exists():
            load(volume_path(name), wanted)
        _used(name).touch()
    return name


def _is_outdated(volume: str) -> bool:
    """Return whether a volume has not been used for a day, or was never filled to the end."""
    used = _used(volume)
    return not used.exists() or time.time() - used.stat().st_mtime > DAY


def _used(volume: str) -> Path:
    """Return the file whose time is that of the last use."""
    return volume_path(volume) / "used"


def load(folder: Path, references: Iterable[str]) -> None:
    """Fill `root` in a folder with the data of an engine that has these images."""
    archive, socket = folder / "images.tar", f"unix://{folder}/socket"
    run("docker", "save", "--output", str(archive), *references)
    engine = subprocess.Popen(
        [
            # In a network of its own: without a bridge, dockerd would remove the other engine's.
            *(
                "unshare",
                "--net",
                "dockerd",
                "--config-file=/dev/null",
                f"--host={socket}",
                f"--pidfile={folder}/pid",
            ),
            *(f"--data-root={folder}/root", f"--exec-root={folder}/run", "--bridge=none"),
            *("--storage-driver=overlay2", "--iptables=false", "--ip6tables=false"),
            "--ip-forward=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = ("docker", "--host", socket, "info")
        wait_until(lambda: run(*ready, check=False).returncode == 0, "an engine for the images")
        run("docker", "--host", socket, "load", "--quiet", "--input", str(archive))
    finally:
        engine.terminate()
        engine.wait(timeout=60)
        # dockerd mounts its data on itself, and leaves that if the mount is no longer shared, as
        # after mmdebstrap; nothing could be linked across it.
        run("umount", "--quiet", str(folder / "root"), check=False)
    archive.unlink()

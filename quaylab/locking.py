"""Who works on a registry: locks that end with their holder, in the folder and on each host."""

from __future__ import annotations

import datetime as dt
import fcntl
import getpass
import os
import socket
from pathlib import Path


def holder() -> str:
    """This process, as somebody else's refusal names it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"uid {os.getuid()}"
    now = dt.datetime.now(dt.timezone.utc)
    return f"{user} on {socket.gethostname()}, process {os.getpid()}, since {now:%F %T} UTC"


class Held(Exception):
    """Another process holds the lock; the message is its :func:`holder`."""


class FileLock:
    """A lock on this machine that the kernel takes back when the process ends, however."""

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            Held: another process has it.
            OSError: the file can't be written.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(self._file, 1000, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise Held(said) from None
        except OSError:
            os.close(self._file)
            raise
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, holder().encode(), 0)

    @property
    def identity(self) -> str:
        """Which file this is, of which running kernel: who has the same and holds the lock knows
        that nobody else of this identity is at work any more."""
        found = os.fstat(self._file)
        boot = Path("/proc/sys/kernel/random/boot_id")
        kernel = boot.read_text().strip() if boot.exists() else socket.gethostname()
        return f"{kernel}/{found.st_dev}/{found.st_ino}"

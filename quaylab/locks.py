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


class LockHeld(Exception):
    """Another process holds the lock; the message is its :func:`holder`."""


class FileLock:
    """A lock on this machine that the kernel takes back when the process ends, however."""

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            LockHeld: another process has it.
            OSError: the file can't be written.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(self._file, 1000, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise LockHeld(said) from None
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


# Takes a host's lock and holds it until its standard input ends; $1 is an identity, $2 a holder.
# Login files may print before it, so its answer is marked.
HOST_LOCK = """
test "$(id -u)" = 0 || { echo 'quaylab-lock: none'; exit; }
command -v flock >/dev/null ||
    { echo 'quaylab-lock: failed: it has no flock; install util-linux'; exit; }
lock=/run/quaylab-run.lock
umask 077
(: >>$lock) 2>/dev/null || { echo "quaylab-lock: failed: $lock can't be written"; exit; }
exec 9>>$lock
if ! flock --nonblock 9; then
    read -r identity pid rest <$lock
    # A run of this folder, which has ended, and whose connection this host still takes for one.
    test "$identity" != "$1" || kill "$pid"
    if ! flock --timeout 10 9; then
        read -r identity pid rest <$lock
        echo "quaylab-lock: held: $pid $rest"
        exit
    fi
fi
echo "$1 $$ $2" >$lock
echo 'quaylab-lock: taken'
# A connection that was cut is noticed only by what doesn't get through.
trap '' PIPE
{ while sleep 10 && echo; do :; done; kill $$; } 9>&- &
cat >/dev/null 9>&-
kill $!
"""


def lock_problem(line: str) -> str | None:
    """Why a host can't be locked, by a line of :data:`HOST_LOCK`: a problem, an empty text for
    none, or None for a line that isn't its answer."""
    # A login file's last words may lack their line's end.
    answer = line.strip().partition("quaylab-lock: ")[2]
    if not answer:
        return None
    kind, _, reason = answer.partition(": ")
    if kind == "held":
        pid, _, who = reason.partition(" ")
        return (
            f"another run works on it: {who}; wait until it has ended. If it has, and its "
            f"connection is only not yet given up, run there: kill {pid}"
        )
    return f"can't be locked for this run: {reason}" if kind == "failed" else ""

"""Locks against simultaneous runs, on this machine and on each host; they end with the process."""

from __future__ import annotations

import datetime as dt
import fcntl
import getpass
import os
import socket
from collections.abc import Iterable
from pathlib import Path


def holder() -> str:
    """Describe this process, for the error of another run."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"uid {os.getuid()}"
    now = dt.datetime.now(dt.timezone.utc)
    return f"{user} on {socket.gethostname()}, process {os.getpid()}, since {now:%F %T} UTC"


class LockHeld(Exception):
    """Another process holds the lock; the message is its :func:`holder`."""


class FileLock:
    """A lock on this machine. The kernel releases it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            LockHeld: another process has it.
            OSError: the file can't be written.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(self._file, 1000, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise LockHeld(other) from None
        except OSError:
            os.close(self._file)
            raise
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, holder().encode(), 0)

    @property
    def identity(self) -> str:
        """The file's id and the boot id of the kernel. Only one process can hold this lock, so a
        host's lock with the same identity is left over from a run that has ended."""
        status = os.fstat(self._file)
        boot = Path("/proc/sys/kernel/random/boot_id")
        kernel = boot.read_text().strip() if boot.exists() else socket.gethostname()
        return f"{kernel}/{status.st_dev}/{status.st_ino}"


# Takes a host's lock, runs a command, and holds the lock until its standard input ends. $1 is an
# identity, $2 a holder, $3 the command. Login files may print before it, so its answers are marked.
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
sh -c "$3" </dev/null 2>/dev/null 9>&-
echo "quaylab-lock: exit status $?"
# A connection that was cut is noticed only by what doesn't get through. The loop ends as well once
# this shell is no longer its parent: then the number may be that of another process.
trap '' PIPE
{
    while sleep 10; do
        read -r _ _ _ parent _ </proc/self/stat
        test "$parent" = $$ || exit
        echo || kill $$
    done
} 9>&- &
cat >/dev/null 9>&-
kill $!
"""


def output(lines: Iterable[str]) -> list[str] | None:
    """Return what the command of :data:`HOST_LOCK` printed, by the lines after the lock's answer.

    Returns:
        Its lines; None if it failed, or if the connection has ended before it did.
    """
    found: list[str] = []
    for line in lines:
        before, mark, status = line.rstrip("\r\n").partition("quaylab-lock: exit status ")
        if mark:
            # The last line of the output may lack its end.
            return [*found, *([before] if before else [])] if status == "0" else None
        found.append(before)
    return None


def lock_problem(line: str) -> str | None:
    """Say why a host can't be locked, by one line of the output of :data:`HOST_LOCK`.

    Returns:
        The problem; an empty text if it is locked; None for a line of other programs.
    """
    # A login file's last line may have no line break, so the answer may follow it in one line.
    answer = line.strip().partition("quaylab-lock: ")[2]
    if not answer:
        return None
    kind, _, reason = answer.partition(": ")
    if kind == "held":
        pid, _, who = reason.partition(" ")
        return (
            f"another run works on it: {who}; wait until it has ended. If it has, but its "
            f"connection is still open, run there: kill {pid}"
        )
    return f"can't be locked for this run: {reason}" if kind == "failed" else ""

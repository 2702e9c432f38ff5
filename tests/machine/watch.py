"""A search for leaked secrets on a machine while a deploy runs on it."""

from __future__ import annotations

from collections.abc import Mapping

from tests.leaks import leaked
from tests.machine.machines import Machine

FOLDER = "/root/watch"
# As fast as the shell can: record the arguments of every process, and every file under /etc/quaylab
# that others than root and the container's uid could read, also while it is being written.
SCRIPT = f"""
mkdir -p {FOLDER}; cd {FOLDER}
while test ! -e stop; do
  for process in /proc/[0-9]*; do tr '\\0' ' ' <$process/cmdline; echo; done 2>/dev/null |
    sort -u >seen; sort -u -m seen argv -o argv
  find /etc/quaylab -type f -perm /077 -printf '%p %m\\n' 2>/dev/null >>wide
done
touch ended
"""


class Watch:
    """A sampler of a machine's processes and files, from start to stop."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start(self) -> None:
        prepare = f"rm -rf {FOLDER}; mkdir -p {FOLDER}; cd {FOLDER}; touch argv wide"
        self._machine.run(prepare)
        self._machine.run(f"cat >{FOLDER}/script", input=SCRIPT)
        self._machine.run(f"setsid sh {FOLDER}/script >/dev/null 2>&1 </dev/null &")

    def stop(self) -> None:
        # The last round writes `argv` anew: whoever reads it before the end may find it empty.
        wait = f"until test -e {FOLDER}/ended; do sleep 0.1; done"
        self._machine.run(f"touch {FOLDER}/stop; timeout 60 sh -c '{wait}'")

    @property
    def arguments(self) -> str:
        """The arguments of all processes that were seen, one process in a line."""
        return self._machine.run(f"cat {FOLDER}/argv").stdout

    def assert_no_secret(self, secrets: Mapping[str, str]) -> None:
        """Assert that no secret is in argv, in what the engine says of
        containers, in logs, in units, or in /tmp."""
        engine = self._machine.engine
        everything = {
            "inspect": f"{engine} ps -aq | xargs -r {engine} inspect",
            "containers' logs": f"for c in $({engine} ps -aq); do {engine} logs $c 2>&1; done",
            "journal": "journalctl --no-pager",
            "units": "systemctl cat 'quaylab-*' 2>/dev/null",
            "/tmp, /var/tmp, /var/log": "find /tmp /var/tmp /var/log -type f -exec cat {} + ",
        }
        seen = {
            place: self._machine.run(command, check=False).stdout
            for place, command in everything.items()
        }
        seen["argv"] = self.arguments
        assert f"{engine} " in seen["argv"], "the watch saw the deploy at work"
        found = [
            f"{name} in {place}" for place, text in seen.items() for name in leaked(secrets, text)
        ]
        assert not found, found

    def assert_narrow(self) -> None:
        """Assert that at no moment others than root and the owner could read a file of ours."""
        assert self._machine.run(f"sort -u {FOLDER}/wide").stdout == ""

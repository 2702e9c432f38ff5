"""Runs of pyinfra, as an operator starts them, on @fake hosts and in a temporary project directory.

Its code is this project's, by symbolic links; credentials and inventories are its own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forked import Run
from tests.unit.shell import HOST_PATH

ROOT = Path(__file__).parents[2]
LINKED = (
    "config.py",
    "deploy.py",
    "facts",
    "group_data",
    "images",
    "operations",
    "quaylab",
    "tasks",
)
OPERATION = re.compile(r"^--> Starting operation: (?P<name>.*?)\s*$")
COMMAND = re.compile(r"^\[(?P<host>\S+)\]\s+>>> (?P<command>.*)$")
FACT = re.compile(r"^\s*\[(?P<host>\S+)\]\s+Loaded fact ")
# What a host reports of itself, as the fact Machine reads it. What Docker reports follows.
REPORT = """\
uid 0
os debian|13|
arch x86_64
cpus 4
memory_kb 8123456
systemd yes
cgroup_v2 yes
address 192.168.254.10
engine docker"""


# The lines of an engine that answers.
ENGINE = (
    'client /usr/bin/docker\ninfo {"ServerVersion":"26.1.5",'
    '"DockerRootDir":"/var/lib/docker","SecurityOptions":[]}'
)


def report(**changes: str) -> str:
    """Return a host's report with some lines changed; a line with an empty value is left out."""
    lines = dict(line.split(" ", 1) for line in REPORT.splitlines()) | changes
    return "\n".join(f"{key} {value}" for key, value in lines.items() if value)


def volume(name: str, labels: Mapping[str, str], device: str | None = None) -> str:
    """Return the line of a volume in a host's report."""
    found = {"Name": name, "Mountpoint": f"/var/lib/docker/volumes/{name}/_data", "Labels": labels}
    return f"object {json.dumps({**found, 'Options': {'device': device} if device else None})}"


def container(name: str, specification: str = "", credentials: str = "") -> str:
    """Return the line of a container in a host's report, with its labels."""
    return f"named {name}|{specification}|{credentials}"


def older_quay(credentials: str) -> str:
    """Return what an engine says of a Quay with another specification."""
    labels = {
        "io.quaylab.credentials": credentials,
        "io.quaylab.specification": "older",
        "io.quaylab.version": "v3.18.0",
    }
    found = {
        "Id": "c0ffee",
        "Image": "sha256:1",
        "Name": "/quaylab-quay",
        "State": {"Status": "running", "StartedAt": "2026-01-31T12:00:00.0Z"},
        "HostConfig": {"PortBindings": {}, "RestartPolicy": {"Name": "always"}},
        "Mounts": [],
        "Config": {"Image": "older", "Env": [], "Cmd": [], "Labels": labels},
        "NetworkSettings": {"Networks": {}},
    }
    return f"named quaylab-quay|older|{credentials}\nobject {json.dumps(found)}"


def fake(
    name: str, reports: str = REPORT, responses: Mapping[str, Any] | None = None, **data: Any
) -> tuple[str, dict[str, Any]]:
    """Return a fake host; ``responses`` has the output for each command that contains the key."""
    answers = {"/etc/os-release": reports, **(responses or {})}
    return f"@fake/{name}", {"fake_responses": answers, **data}


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a run, with the operations and commands that it shows."""

    code: int
    stdout: str
    stderr: str

    def __repr__(self) -> str:
        """Say why a run failed: pytest shows no more than the beginning and the end of this."""
        said = [each.strip() for each in self.stderr.splitlines() if not each.startswith("-->")]
        return f"exit code {self.code}: {' | '.join(filter(None, said[-3:]))}"

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def operations(self) -> list[str]:
        """Names of the operations in the order they were started, without their task's file."""
        started = map(OPERATION.match, self.output.splitlines())
        return [found["name"].rpartition(" | ")[2] for found in started if found]

    def commands(self, host: str) -> list[str]:
        """Return the commands that operations ran on a host, in order, without those of facts."""
        commands: list[str] = []
        for line in self.output.splitlines():
            if (found := COMMAND.match(line)) and found["host"] == f"@fake/{host}":
                commands.append(found["command"])
            elif (fact := FACT.match(line)) and fact["host"] == f"@fake/{host}":
                commands.pop()
        return commands

    @property
    def plan(self) -> list[str]:
        """Names of the operations that would change something; needs ``--dry --json``."""
        operations = json.loads(self.stdout)["plan"]
        changing = [each["name"] for each in operations if each["hosts_with_change"]]
        return [name.rpartition(" | ")[2] for name in changing]


class Project:
    """A project directory in which pyinfra runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in LINKED:
            (path / name).symlink_to(ROOT / name)

    @property
    def credentials(self) -> Path:
        return self.path / "credentials" / "quaylab.yaml"

    def inventory(self, **groups: list[tuple[str, dict[str, Any]]]) -> str:
        """Write an inventory; return its path."""
        path = self.path / "inventory.py"
        path.write_text("".join(f"{name} = {hosts!r}\n" for name, hosts in groups.items()))
        return str(path)

    def deploy_file(self, tasks: Iterable[str]) -> str:
        """Write a deploy file, with a line for each task as in deploy.py; return its name."""
        lines = [f'local.include("tasks/{task}.py")\n' for task in tasks]
        (self.path / "parts.py").write_text("".join(["from pyinfra import local\n", *lines]))
        return "parts.py"

    def run(
        self,
        *arguments: str,
        path: Path | None = None,
        until: str | None = None,
        timeout: float = 60,
    ) -> Result:
        """Run pyinfra; ``path`` goes before PATH, ``until`` names an operation to kill it at.

        Args:
            timeout: how long it may take, in seconds.
        """
        environment = {
            **os.environ,
            "PATH": f"{path}:{HOST_PATH}" if path else HOST_PATH,
            "PYINFRA_FAKE_DELAY": "0",
            "PYINFRA_FAKE_DELAY_JITTER": "0",
            "PYINFRA_PROGRESS": "off",
        }
        with Run(arguments, self.path, environment) as process:
            if until is None:
                try:
                    stdout, stderr = process.communicate(timeout=timeout)
                finally:
                    process.kill()
                return Result(process.returncode, stdout, stderr)
            lines = []
            for line in process.stderr:
                lines.append(line)
                if (found := OPERATION.match(line)) and found["name"].endswith(until):
                    process.kill()
            return Result(process.wait(), "", "".join(lines))

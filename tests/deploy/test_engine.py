"""tasks/engine.py on every supported system, and on those that it refuses."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import ENGINE, REPORT, Project, Result, fake, report

TASK = "tasks/engine.py"
PARTS = ("quay", "database", "redis")
APT = "apt-get install"
SYSTEMS = {
    "rhel-7": ("rhel|7.9|fedora", ["yum install --quiet --assumeyes docker"]),
    "rhel-9": ("rhel|9.4|fedora", ["quaylab-docker-ce.repo", "dnf install"]),
    "rocky-9": ("rocky|9.4|rhel centos fedora", ["quaylab-docker-ce.repo", "dnf install"]),
    "fedora-43": ("fedora|43|", ["quaylab-docker-ce.repo", "dnf install"]),
    "debian-12": ("debian|12|", [APT]),
    "debian-13": ("debian|13|", [APT]),
    "ubuntu-24": ("ubuntu|24.04|debian", [APT]),
}
# An inventory has three services, so one run covers three systems.
ROUNDS = (("rhel-7", "rhel-9", "rocky-9"), ("fedora-43", "debian-12", "debian-13"), ("ubuntu-24",))
STOPPED = ["/usr/bin/dockerd", "installed"]
RUNNING = [*STOPPED, "enabled"]


def _run(project: Project, system: str = "debian|13|", *options: str, **host: Any) -> Result:
    """Run the task on one host; ``options`` are pyinfra's."""
    one = [fake("quay", **{"reports": report(os=system), **host})]
    inventory = project.inventory(quay=one, database=one, redis=one)
    return project.run("-y", "-vv", inventory, TASK, *options)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """The run of each system, by its name."""
    found: dict[str, Result] = {}
    for systems in ROUNDS:
        project = Project(tmp_path_factory.mktemp("project"))
        hosts = [
            fake(name, report(os=SYSTEMS[name][0]), ssh_hostname=f"192.168.254.{number}")
            for number, name in enumerate(systems, 10)
        ]
        groups = {part: [host] for part, host in zip(PARTS, cycle(hosts), strict=False)}
        result = project.run("-y", "-vv", project.inventory(**groups), TASK)
        found |= dict.fromkeys(systems, result)
    return found


@pytest.mark.parametrize("system", SYSTEMS)
def test_engine_is_installed_and_started(results: dict[str, Result], system: str) -> None:
    result, wanted = results[system], SYSTEMS[system][1]
    assert result.code == 0, result.output
    commands = result.commands(system)
    for command, part in zip(commands, wanted, strict=False):
        assert part in command
    installers = [command for command in commands if " install " in command]
    assert len(installers) == 1
    enable, start = commands[len(wanted) : len(wanted) + 2]
    assert "systemctl enable --quiet docker" in enable
    assert "systemctl start docker ||" in start


def test_repository_file_goes_through_stdin(results: dict[str, Result]) -> None:
    assert "[docker-ce-stable]" not in results["rhel-9"].output


def test_a_running_engine_is_left_alone(project: Project) -> None:
    answers = {"docker info --format": ENGINE, "command -v dockerd": RUNNING}
    result = _run(project, reports=f"{REPORT}\n{ENGINE}", responses=answers)
    assert result.code == 0, result.output
    assert not any("systemctl" in command for command in result.commands("quay"))


def test_without_systemd_the_engine_is_started_directly(project: Project) -> None:
    result = _run(project, reports=report(systemd=""), responses={"command -v dockerd": STOPPED})
    assert result.code == 0, result.output
    assert any("setsid dockerd" in command for command in result.commands("quay"))


def test_proxy_comes_before_the_engine_starts(project: Project) -> None:
    result = _run(project, "debian|13|", "--data=https_proxy=http://proxy.example.com:3128")
    assert result.code == 0, result.output
    names = result.operations
    assert names.index("Configure the engine's proxy") < names.index("Start the container engine")
    assert any("docker.service.d/quaylab-proxy.conf" in each for each in result.commands("quay"))


def test_pull_secret_is_merged(project: Project, tmp_path: Path) -> None:
    secret = tmp_path / "config.json"
    secret.write_text('{"auths": {"quay.io": {"auth": "aHVudGVyMg=="}}}')
    result = _run(
        project,
        "debian|13|",
        f"--data=pull_secret={secret}",
        "--data=pull_secret_user=puller",
        responses={"getent passwd puller": "puller:x:1000:1000::/home/puller:/bin/sh"},
    )
    assert result.code == 0, result.output
    (written,) = [each for each in result.commands("quay") if "config.json" in each]
    assert "chmod 0600 /home/puller/.docker/config.json.new" in written
    assert "aHVudGVyMg" not in result.output


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "not root": ({"uid": "1000"}, "add --sudo"),
    "unknown system": ({"os": "alpine|3.22|"}, "its operating system is alpine"),
    "podman": (
        {"client": "/usr/bin/podman\nversion podman version 5.4.2"},
        "Podman's shim, which lacks what is needed; remove podman-docker",
    ),
    "rootless": (
        {"client": '/usr/bin/docker\ninfo {"SecurityOptions":["name=rootless"]}'},
        "rootless, and can't bind the registry's ports",
    ),
    "snap": ({"client": "/snap/bin/docker"}, "a snap, which can't read /etc"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(project: Project, case: str) -> None:
    changes, reason = REFUSED[case]
    result = _run(project, reports=report(**changes))
    assert result.code == 1
    (line,) = [each for each in result.output.splitlines() if each.startswith("  - ")]
    assert reason in line
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("quay") == []

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
PODMAN = ["dnf install --quiet --assumeyes podman policycoreutils-python-utils"]
SYSTEMS = {
    "rhel-7": ("rhel|7.9|fedora", ["yum install --quiet --assumeyes docker"]),
    "rhel-8": ("rhel|8.10|fedora", ["dnf install --quiet --assumeyes podman podman-plugins"]),
    "rhel-9": ("rhel|9.4|fedora", PODMAN),
    "rocky-10": ("rocky|10.1|rhel centos fedora", PODMAN),
    "fedora-43": ("fedora|43|", PODMAN),
    "debian-12": ("debian|12|", [APT]),
    "debian-13": ("debian|13|", [APT]),
    "ubuntu-24": ("ubuntu|24.04|debian", [APT]),
}
# The answer of an engine that can run our containers.
PODMAN_INFO = """\
version podman version 5.4.2
info {"host":{"cgroupVersion":"v2","networkBackend":"netavark","networkBackendInfo":\
{"dns":{"version":"1.14"}}},"store":{"graphRoot":"/var/lib/containers/storage"}}
filesystem ext2/ext3
quadlet"""
# An inventory has three services, so one run covers three systems.
ROUNDS = (
    ("rhel-7", "rhel-8", "rhel-9"),
    ("rocky-10", "fedora-43", "debian-12"),
    ("debian-13", "ubuntu-24"),
)
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
            fake(
                name,
                report(os=SYSTEMS[name][0]),
                {"podman info": PODMAN_INFO},
                ssh_hostname=f"192.168.254.{number}",
            )
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
    if wanted is PODMAN or system == "rhel-8":
        assert not any("systemctl" in command for command in commands)
        return
    enable, start = commands[len(wanted) : len(wanted) + 2]
    assert "systemctl enable --quiet docker" in enable
    assert "systemctl start docker ||" in start


def test_docker_ce_where_docker_is_wanted_on_rhel(project: Project) -> None:
    result = _run(project, "rhel|9.4|fedora", "--data=container_engine=docker")
    assert result.code == 0, result.output
    repository, install, *_ = result.commands("quay")
    assert "quaylab-docker-ce.repo" in repository
    assert "dnf install --quiet --assumeyes docker-ce" in install
    # The repository's file goes through standard input.
    assert "[docker-ce-stable]" not in result.output


def test_podman_on_debian(project: Project) -> None:
    answers = {"podman info": PODMAN_INFO}
    result = _run(project, "debian|13|", "--data=container_engine=podman", responses=answers)
    assert result.code == 0, result.output
    install, *_ = result.commands("quay")
    assert "--no-install-recommends podman crun netavark aardvark-dns" in install


def test_a_podman_that_is_too_old_is_refused_as_soon_as_it_is_there(project: Project) -> None:
    answers = {"podman info": "version podman version 4.3.1"}
    result = _run(project, "debian|13|", "--data=container_engine=podman", responses=answers)
    # A fake host carries out no command, so it can't fail.
    refused = "its `podman` is Podman 4.3.1, and 4.9 or newer is needed"
    (refusal,) = [each for each in result.commands("quay") if refused in each]
    assert "exit 1" in refusal


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
    assert "runuser -u puller -- sh -c " in written
    assert "sh /home/puller" in written
    assert "aHVudGVyMg" not in result.output


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "not root": ({"uid": "1000"}, "add --sudo"),
    "unknown system": ({"os": "alpine|3.22|"}, "its operating system is alpine"),
    "Podman's shim": (
        {"client": "/usr/bin/podman\nversion podman version 5.4.2"},
        "Podman's shim, which lacks what is needed; remove podman-docker",
    ),
    "rootless": (
        {"client": '/usr/bin/docker\ninfo {"SecurityOptions":["name=rootless"]}'},
        "rootless, and can't bind the registry's ports",
    ),
    "userns-remap": (
        {"client": '/usr/bin/docker\ninfo {"SecurityOptions":["name=userns"]}'},
        "set up with userns-remap, so containers can't read files for their users; remove it from",
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

"""Docker's command lines for containers, volumes and images."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from quaylab.engines import DOCKER
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL, VERSION_LABEL, Mount, Volume
from tests.unit.quaylab.test_model import CONTAINER
from tests.unit.shell import Shell

VOLUME = Volume(
    "database",
    "quaylab-database",
    None,
    26,
    {"io.quaylab.path": "", "io.quaylab.data": "postgresql-17"},
    setting="database_data",
    purpose="the database",
)


@pytest.mark.parametrize(
    "argument",
    [
        "--detach",
        "--name=quaylab-redis",
        "--network=quaylab",
        "--restart=always",
        "--stop-timeout=30",
        f"--label={DIGEST_LABEL}={CONTAINER.digest}",
        f"--label={VERSION_LABEL}=c9s",
        f"--label={CREDENTIALS_LABEL}=0123456789abcdef-01234567",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=3",
        "--health-cmd=redis-cli ping",
        "--health-interval=10s",
        "--publish=127.0.0.1:6380:6379",
        "--volume=/etc/quaylab/redis:/etc/quaylab:ro,z",
        "--volume=data:/data:z",
        "--env=WORKER_COUNT=2",
    ],
)
def test_run_has_the_argument(argument: str) -> None:
    assert argument in DOCKER.run_arguments(CONTAINER)


def test_command_comes_after_the_image() -> None:
    assert DOCKER.run_arguments(CONTAINER)[-4:] == [CONTAINER.image, *CONTAINER.command]


def test_privileged_only_where_specified() -> None:
    assert "--privileged" not in DOCKER.run_arguments(CONTAINER)
    privileged = dataclasses.replace(CONTAINER, privileged=True)
    assert "--privileged" in DOCKER.run_arguments(privileged)


def test_no_argument_without_a_health_check() -> None:
    arguments = DOCKER.run_arguments(dataclasses.replace(CONTAINER, health=""))
    assert not [argument for argument in arguments if argument.startswith("--health")]


def test_each_capability_and_device_is_an_argument() -> None:
    wanted = dataclasses.replace(
        CONTAINER, capabilities=("NET_ADMIN", "NET_RAW"), devices=("/dev/a", "/dev/b")
    )
    assert set(DOCKER.run_arguments(wanted)) >= {
        "--cap-add=NET_ADMIN",
        "--cap-add=NET_RAW",
        "--device=/dev/a",
        "--device=/dev/b",
    }


def test_the_hosts_network_instead_of_ours() -> None:
    arguments = DOCKER.run_arguments(dataclasses.replace(CONTAINER, host_network=True, ports=()))
    networks = [each for each in arguments if each.startswith("--network")]
    assert networks == ["--network=host"]


@pytest.mark.parametrize(
    ("mount", "argument"),
    [
        (Mount("data", "/data"), "data:/data:z"),
        (Mount("/srv/osd", "/srv/osd", read_only=True), "/srv/osd:/srv/osd:ro,z"),
    ],
)
def test_mounts_get_an_selinux_label_for_containers(mount: Mount, argument: str) -> None:
    assert DOCKER.bind(mount) == argument


def test_values_are_quoted(shell: Shell) -> None:
    """Each value from settings is one word of the command line, unchanged."""
    odd = ("it's", "a  b", "$HOME", "`id`", "")
    wanted = dataclasses.replace(CONTAINER, command=odd, environment=(("ODD", "a'b c"),))
    shell.stub("docker", 'printf "<%s>" "$@" >&2')
    output = shell.run(DOCKER.run(wanted)).stderr
    assert output.endswith("".join(f"<{word}>" for word in odd))
    assert "<--env=ODD=a'b c>" in output


def test_a_volume_has_its_labels() -> None:
    assert DOCKER.volume_arguments(VOLUME) == [
        "--label=io.quaylab.data=postgresql-17",
        "--label=io.quaylab.path=",
        "quaylab-database",
    ]


def test_a_volume_may_be_a_directory_of_the_host() -> None:
    arguments = DOCKER.volume_arguments(dataclasses.replace(VOLUME, path="/srv/disk"))
    assert arguments[:3] == [
        "--opt=type=none",
        "--opt=o=bind",
        "--opt=device=/srv/disk/quaylab-database",
    ]


# --- commands, by a real shell ---


@pytest.mark.parametrize("ours", ["c0ffee", ""], ids=["ours", "another's, or none"])
def test_only_a_container_of_ours_is_removed(shell: Shell, ours: str) -> None:
    shell.stub("docker", f'case $1 in ps) echo {ours} ;; *) test -n "$2" ;; esac')
    assert shell.run(DOCKER.remove_ours("quaylab-redis")).returncode == 0
    asked, *removed = shell.calls
    assert f"--filter label={DIGEST_LABEL}" in asked
    assert "--filter name=^/quaylab-redis$" in asked
    wanted = [f"docker stop {ours}", f"docker rm --force --volumes {ours}"]
    assert [call.strip() for call in removed] == [each.strip() for each in wanted]


def test_a_container_that_does_not_stop_is_not_removed(shell: Shell) -> None:
    shell.stub("docker", "test $1 != stop")
    assert shell.run(DOCKER.remove("quaylab-redis")).returncode != 0
    assert shell.calls == ["docker stop quaylab-redis"]


def test_a_container_that_has_ended_already_is_no_error(shell: Shell) -> None:
    shell.stub("docker", "exit 1")
    assert shell.run(DOCKER.remove_when_ended("quaylab-migration")).returncode == 0
    assert [call.split()[1] for call in shell.calls] == ["wait", "rm"]


def test_quay_is_stopped_even_if_its_programs_do_not_react(shell: Shell) -> None:
    shell.stub("docker", "exit 1")
    assert shell.run(DOCKER.try_execute(CONTAINER, "supervisorctl stop all")).returncode == 0
    assert shell.calls == ["docker exec quaylab-redis sh -c supervisorctl stop all"]


def test_a_restart_policy_is_changed_in_place(shell: Shell) -> None:
    shell.stub("docker", "")
    shell.run(DOCKER.apply(CONTAINER, "update"))
    shell.run(DOCKER.apply(CONTAINER, "unpause"))
    assert shell.calls == [
        "docker update --restart=always --cpu-shares=1024 quaylab-redis",
        "docker unpause quaylab-redis",
    ]


def test_images_are_built_with_their_arguments(shell: Shell, tmp_path: object) -> None:
    context = f"{tmp_path}/context"
    command = DOCKER.build("quaylab/redis:8", {"http_proxy": "http://a b"}, shlex.quote(context))
    shell.stub("docker", "cat >&2")
    shell.run(f"echo archive >{shlex.quote(context)}")
    assert shell.run(command).stderr == "archive\n"
    (call,) = shell.calls
    wanted = "docker build --tag quaylab/redis:8 --build-arg=http_proxy=http://a b -"
    assert call == wanted


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("printf 'one\\ntwo\\n'", ["one", "two"]),
        ("echo 'OCI runtime exec failed: exec failed'; exit 126", []),
        ("echo half; exit 1", []),
    ],
    ids=["answer", "engine's error", "failure"],
)
def test_only_the_output_of_a_success_is_printed(
    shell: Shell, script: str, expected: list[str]
) -> None:
    """Docker writes its own error to standard output, for example while a container starts."""
    shell.stub("docker", script)
    found = shell.run(DOCKER.output_of("quaylab-database", "patronictl list"))
    assert found.returncode == 0
    assert found.stdout.splitlines() == expected

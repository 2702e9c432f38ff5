"""The fact about an engine, from a real engine's output (shortened to what the fact reads)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.containers import Engine, EngineState, Succeeds
from quaylab.paths import ETC
from tests.unit.shell import Shell

NETWORK_ID = "31a58287d7e52c392d5ae6933f9d12592fed744cd3ad7f890e607339dc6520a4"
RECORDED = Path(__file__).parent / "recorded" / "engine.txt"


@pytest.fixture(scope="module")
def engine() -> EngineState:
    return Engine().process(RECORDED.read_text().splitlines())


def test_quays_container(engine: EngineState) -> None:
    quay = engine.containers["quaylab-quay"]
    assert quay.image == "quaylab/quay-standin:v3.18.0-15670d6cc7bc"
    assert (quay.version, quay.state, quay.health) == ("v3.18.0", "running", "healthy")
    assert quay.restart_policy == "always"
    assert quay.command == ("registry-nomigrate",)
    assert quay.networks == {"quaylab": NETWORK_ID}
    assert quay.ports == {"0.0.0.0:80:8080", "0.0.0.0:443:8443"}
    assert quay.mounts == {
        "/conf/stack": "/etc/quaylab/quay",
        "/datastorage": "quaylab-quay-storage",
    }
    assert len(quay.digest) == 64


def test_environment_of_the_container_and_of_its_image(engine: EngineState) -> None:
    quay, database = engine.containers["quaylab-quay"], engine.containers["quaylab-database"]
    assert quay.image_environment and database.image_environment
    given = quay.environment.items() - quay.image_environment.items()
    assert {name for name, _ in given} == {
        "QUAY_OVERRIDE_SERVICES",
        "WORKER_COUNT",
        "WORKER_COUNT_UNSUPPORTED_MINIMUM",
    }
    assert database.environment == database.image_environment


def test_files_were_written_before_their_container_started(engine: EngineState) -> None:
    quay = engine.containers["quaylab-quay"]
    bundle = {
        path: file for path, file in engine.files.items() if path.startswith("/etc/quaylab/quay/")
    }
    assert {Path(path).name for path in bundle} == {"config.yaml", "ssl.cert", "ssl.key"}
    assert all(file.at < quay.started for file in bundle.values())
    assert all(len(file.sha256) == 64 for file in bundle.values())


def test_network_and_volumes(engine: EngineState) -> None:
    assert engine.networks == {"quaylab": NETWORK_ID}
    assert engine.volumes == ("quaylab-database", "quaylab-quay-storage")
    assert not engine.network_is_internal


def test_a_network_that_was_made_as_internal() -> None:
    lines = RECORDED.read_text().replace('"Internal":false', '"Internal":true').splitlines()
    assert Engine().process(lines).network_is_internal


def _changed(kind: str, **changes: object) -> EngineState:
    """Return the recording with Quay's container or its image changed.

    Args:
        kind: a key that only a container or only an image has.
    """
    lines = RECORDED.read_text().splitlines()
    for number, line in enumerate(lines):
        if f'"{kind}"' in line and "quay-standin" in line:
            item = json.loads(line.removeprefix("object "))
            lines[number] = f"object {json.dumps({**item, **changes})}"
    return Engine().process(lines)


def test_without_the_image_its_environment_is_not_known() -> None:
    found = _changed("RepoTags", RepoTags=None).containers["quaylab-quay"]
    assert found.image_environment is None
    assert not found.image_was_retagged


def test_a_container_whose_images_name_now_means_another() -> None:
    found = _changed("RepoTags", Id="sha256:0").containers["quaylab-quay"]
    assert found.image_was_retagged
    assert not _changed("RepoTags").containers["quaylab-quay"].image_was_retagged


def test_no_health_check_and_no_published_port() -> None:
    found = _changed(
        "HostConfig",
        State={"Status": "exited", "StartedAt": "2026-11-24T14:29:31Z"},
        HostConfig={"PortBindings": None, "RestartPolicy": {"Name": "no"}},
    ).containers["quaylab-quay"]
    assert (found.state, found.health, found.ports) == ("exited", None, frozenset())
    assert found.started == 1795530571


def test_ports_are_read_in_the_form_they_are_published() -> None:
    binding = {"5432/tcp": [{"HostIp": "fd00::5", "HostPort": "15432"}], "9091/tcp": None}
    found = _changed(
        "HostConfig", HostConfig={"PortBindings": binding, "RestartPolicy": {"Name": "always"}}
    )
    assert found.containers["quaylab-quay"].ports == {"[fd00::5]:15432:5432"}


def test_bare_engine() -> None:
    assert Engine().process([""]) == EngineState({}, {}, (), {})


def test_an_incomplete_answer_is_an_error() -> None:
    with pytest.raises(FactProcessError, match="the engine's state can't be read"):
        Engine().process(['object {"Id":'])


def test_a_stopped_engine_has_nothing(shell: Shell) -> None:
    shell.stub("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    state = Engine().process(shell.lines(Engine().command()) or [""])
    assert (state.containers, state.networks, state.volumes) == ({}, {}, ())


def test_files_behind_a_symbolic_link(shell: Shell, tmp_path: Path) -> None:
    """As where /etc/quaylab, or a directory in it, is a link to another disk."""
    shell.stub("docker", "exit 1")
    for name in ("disk/quay", "other/redis"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("content")
    (tmp_path / "disk" / "redis").symlink_to(tmp_path / "other" / "redis")
    (tmp_path / "etc").symlink_to(tmp_path / "disk")
    command = Engine().command().replace(ETC, str(tmp_path / "etc"))
    found = Engine().process(shell.lines(command)).files
    assert found.keys() == {f"{tmp_path}/etc/quay/file", f"{tmp_path}/etc/redis/file"}


@pytest.mark.parametrize(("script", "succeeds"), [("exit 0", True), ("exit 1", False)])
def test_a_command_in_a_container(shell: Shell, script: str, succeeds: bool) -> None:
    shell.stub("docker", script)
    lines = shell.lines(Succeeds().command(container="quaylab-redis", command="it's fine"))
    assert Succeeds().process(lines) is succeeds
    assert shell.calls == ["docker exec quaylab-redis sh -c it's fine"]

"""The commands with which a host's data goes to another engine, and what is kept is removed."""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import re
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FunctionCommand
from pyinfra.api.exceptions import DeployError

from facts import engines
from facts.balancer import Withdrawn
from facts.containers import Engine
from facts.images import Images
from facts.machine import EngineInfo
from facts.podman import Podman, PodmanState
from facts.volumes import VolumeSizes
from operations.engines import move, purge
from operations.runtime import commands as runtime_commands
from operations.services import etcd, nodes, patroni
from quaylab import plan
from quaylab.checks.fetched_images import ImageState
from quaylab.engines import DOCKER, PODMAN, podman_report
from quaylab.engines.state import Engine as EngineReported
from quaylab.engines.state import EngineState, FoundVolume
from quaylab.hosts.machine import EngineReport
from quaylab.model import CREDENTIALS_LABEL
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit.fake_host import FakeHost, stdin
from tests.unit.samples import CREDENTIALS, host, machine
from tests.unit.shell import Shell
from tests.unit.states import engine

NAME = "quay.example.com"
OURS = {CREDENTIALS_LABEL: CREDENTIALS.fingerprint}
OWN = FoundVolume("quaylab-database", OURS)
DIRECTORY = FoundVolume("quaylab-redis", OURS, device="/data/quaylab-redis")
NOTE = "/var/lib/quaylab/engine"
DONE = "podman 2026-11-27T09:30:00+00:00"


def _plan(
    store: Store,
    docker: EngineReport,
    podman: EngineReport | None = None,
    note: str | None = None,
    moves: bool = True,
    **data: Any,
) -> Plan:
    found = machine(
        engines={"docker": docker, "podman": podman or EngineReport()}, engine_note=note
    )
    hosts = [host(NAME, **{"container_engine": "podman", **data})]
    return plan.make(hosts, {NAME: found}, store, moves_engine=moves)


@pytest.fixture
def moving(store: Store) -> Plan:
    """A move from Docker, where Redis runs, with a volume and a directory."""
    made = _plan(store, EngineReport(volumes=(OWN, DIRECTORY)))
    redis = engine(made.workload("redis", NAME).container)
    return _plan(store, EngineReport(volumes=(OWN, DIRECTORY), state=redis))


@pytest.fixture
def moved(store: Store) -> Plan:
    kept = EngineReport(volumes=(OWN, FoundVolume("quaylab-of-others", {})))
    return _plan(store, kept, EngineReport(volumes=(OWN,)), DONE)


def _running(plan: Plan) -> EngineState:
    """Return an engine in which all of a host's containers run."""
    states = [engine(each.container) for each in plan.workloads_of(NAME)]
    running = {name: found for each in states for name, found in each.containers.items()}
    return dataclasses.replace(states[0], containers=running)


def test_a_moved_host_is_left_alone(moved: Plan) -> None:
    for operation in (move.prepared, move.images_present, move.moved):
        host = FakeHost({Engine: _running(moved)}, NAME)
        assert host.operate(operation, plan=moved) == []
        assert len(host.noops) == 1


def test_a_moved_host_is_started_where_a_killed_run_did_not(moved: Plan) -> None:
    commands = FakeHost(name=NAME).shell(move.moved, plan=moved)
    assert [each for each in commands if "systemctl restart quaylab-quay" in each]
    assert not [each for each in commands if "docker" in each or NOTE in each]


@pytest.mark.parametrize("podman", [EngineReport(), EngineReport(volumes=(OWN,))])
def test_nothing_is_started_where_nothing_was_moved(store: Store, podman: EngineReport) -> None:
    host = FakeHost(name=NAME)
    made = _plan(store, EngineReport(), podman)
    assert host.operate(move.moved, plan=made) == []
    assert host.noops == ["nothing was moved to Podman, and nothing has to be"]


def test_the_other_engine_is_installed_and_checked(moving: Plan) -> None:
    able = EngineReported("5.4.2", "/var/lib/containers/storage", None)
    install, *_ = FakeHost({EngineInfo: able}, NAME).shell(move.prepared, plan=moving)
    assert "podman crun netavark" in install
    there = FakeHost({EngineInfo: able, Podman: PodmanState(True)}, NAME)
    assert there.shell(move.prepared, plan=moving) == []


def test_docker_is_installed_on_the_way_back(store: Store) -> None:
    back = _plan(store, EngineReport(), EngineReport(volumes=(OWN,)), container_engine="docker")
    commands = FakeHost(name=NAME).shell(move.prepared, plan=back)
    assert "docker.io" in commands[0]
    assert "systemctl start docker" in commands[-1]


class ByEngine(FakeHost):
    """A host whose answer about images depends on the engine that is asked."""

    def __init__(self, **images: list[str]) -> None:
        super().__init__(name=NAME)
        self.images = images

    def get_fact(self, fact: Any, *values: Any, **arguments: Any) -> Any:
        if fact is not Images:
            return super().get_fact(fact, *values, **arguments)
        return {each: ImageState(("id",)) for each in self.images[engines.host_engine().name]}


def test_images_are_copied_and_only_others_are_pulled(moving: Plan) -> None:
    first, *others = [image.reference for image in moving.images_of(NAME)]
    host = ByEngine(docker=[first, others[0]], podman=[others[0]])
    handed, *rest = host.shell(move.images_present, plan=moving)
    assert f"docker save {first} | podman load" in handed
    pulls = [each for each in rest if "podman pull" in each]
    assert len(pulls) == len(others) - 1
    assert not [each for each in pulls if first in each or others[0] in each]


def _steps(plan: Plan) -> dict[str, list[Any]]:
    """Return the commands of a host's move by what they do, in their order."""
    host: Any = FakeHost(name=NAME)
    engines.use(host, DOCKER)
    commands = host.operate(move.moved, plan=plan)
    first, after = [at for at, each in enumerate(commands) if f"{NOTE}.new" in str(each)]
    assert first == 0, "a killed run's host would have nothing to tell by"
    copy = next(at for at, each in enumerate(commands) if _is_of_a_copy(str(each)))
    assert engines.engine_of(host) is DOCKER, "the notes' function was not called"
    *copies, registry = commands[copy:after]
    note, use, cleaned, *start = commands[after:]
    assert host.call(use)
    assert engines.engine_of(host) is PODMAN
    assert "rm -rf /var/lib/quaylab/engine-copy" in str(cleaned)
    return {
        "stop": commands[1:copy],
        "notes": [commands[0], registry, note],
        "copy": copies,
        "start": start,
    }


def _is_of_a_copy(command: str) -> bool:
    return command.startswith("podman volume ") or "flock" in command


def test_what_runs_is_removed_so_that_no_boot_starts_it(moving: Plan) -> None:
    (remove,) = map(str, _steps(moving)["stop"])
    assert remove.startswith("docker stop quaylab-redis ")
    assert "docker rm --force" in remove


def test_volumes_are_made_and_copied_and_directories_only_made(moving: Plan) -> None:
    made, copy, directory = map(str, _steps(moving)["copy"])
    assert "podman volume create" in made
    assert f"--label={CREDENTIALS_LABEL}={CREDENTIALS.fingerprint}" in made
    assert "flock" in copy
    assert "Docker has all data and runs nothing" in copy
    assert "run deploy.py without container_engine, which starts it there as before" in copy
    assert "--opt=device=/data/quaylab-redis" in directory


def test_a_copy_of_a_killed_run_is_not_taken_for_one_that_is_not_equal(
    moving: Plan, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    monkeypatch.setattr(runtime_commands, "LOCK", str(lock))
    monkeypatch.setattr(runtime_commands, "LOCK_TIMEOUT", 0)
    for engine_name in ("docker", "podman"):
        shell.stub(engine_name, "exit 1")
    _, copy, _ = _steps(moving)["copy"]
    failed = shell.run(copy)
    assert failed.returncode != 0
    assert "the copy of quaylab-database in Podman is not equal" in failed.stderr
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waited = shell.run(copy)
    assert waited.returncode != 0
    assert "a command of a killed run, which still works on this host" in waited.stderr
    assert "not equal" not in waited.stderr


def test_the_notes_say_who_has_the_data(moving: Plan) -> None:
    before, registry, after = (
        base64.b64decode(stdin(each)).decode() for each in _steps(moving)["notes"]
    )
    assert before == "docker\n"
    assert registry.endswith(" podman\n")
    assert re.fullmatch(r"podman \d{4}-\d\d-\d\dT\S+\n", after)


def test_a_copy_of_other_labels_is_made_anew(store: Store) -> None:
    half = EngineReport(volumes=(FoundVolume(OWN.name, {**OURS, "io.quaylab.data": "older"}),))
    made = _plan(store, EngineReport(volumes=(OWN,)), half, "docker")
    remove, create, _ = map(str, _steps(made)["copy"])
    assert remove.startswith("podman volume rm quaylab-database")
    assert create.startswith("podman volume create")
    same = _plan(store, EngineReport(volumes=(OWN,)), EngineReport(volumes=(OWN,)), "docker")
    assert len(_steps(same)["copy"]) == 1


def test_all_is_started_in_the_other_engine(moving: Plan) -> None:
    commands = [str(each) for each in _steps(moving)["start"]]
    started = [each for each in commands if "systemctl restart" in each]
    assert len(started) == len(moving.workloads_of(NAME)) == 3
    assert not [each for each in commands if "docker " in each]


def _with_another_host(plan: Plan, group: str) -> Plan:
    hosts = {**plan.topology.hosts, group: (NAME, "other.example.com")}
    return dataclasses.replace(plan, topology=dataclasses.replace(plan.topology, hosts=hosts))


def test_nodes_are_drained_before_and_put_back_at_the_end(store: Store) -> None:
    made = _plan(store, EngineReport(volumes=(OWN,)), balancer_host="lb.example.com")
    steps = _steps(_with_another_host(made, "quay"))
    assert steps["stop"][0].function is nodes.withdraw
    assert steps["start"][-1].function is nodes.put_back


def test_a_host_with_all_nodes_is_moved_without_draining_them(store: Store) -> None:
    """No other node could answer what it is asked, so a drain would be refused."""
    made = _plan(store, EngineReport(volumes=(OWN,)), balancer_host="lb.example.com")
    steps = _steps(made)
    assert steps["stop"] == []
    assert not [each for each in steps["start"] if isinstance(each, FunctionCommand)]


def test_the_database_is_led_elsewhere_meanwhile(store: Store) -> None:
    made = _plan(store, EngineReport(volumes=(OWN,)))
    steps = _steps(_with_another_host(made, "database"))
    assert steps["stop"][0].function is patroni.hand_over
    ends = [each.function for each in steps["start"][-2:]]
    assert ends == [patroni.await_member, patroni.await_successor]


@pytest.mark.parametrize(("state", "is_asked"), [("running", True), ("exited", False)])
def test_a_member_is_stopped_only_while_the_others_go_on(
    store: Store, state: str, is_asked: bool
) -> None:
    """One that a killed run has stopped already takes nothing away."""
    made = _plan(store, EngineReport(volumes=(OWN,)))
    runs = engine(made.workload("database", NAME).container, state=state)
    made = _plan(store, EngineReport(volumes=(OWN,), state=runs))
    steps = _steps(_with_another_host(made, "database"))["stop"]
    functions = [each.function for each in steps if isinstance(each, FunctionCommand)]
    required = [etcd.require_majority, patroni.require_other_members] if is_asked else []
    assert functions == [*required, patroni.hand_over]


def test_a_node_that_a_killed_run_has_drained_is_put_back(store: Store) -> None:
    kept, there = EngineReport(volumes=(OWN,)), EngineReport(volumes=(OWN,))
    made = _plan(store, kept, there, DONE, balancer_host="lb.example.com")
    made = _with_another_host(made, "quay")
    facts: dict[Any, Any] = {Engine: _running(made)}
    assert FakeHost(facts, NAME).operate(move.moved, plan=made) == []
    host = FakeHost({**facts, Withdrawn: ["lb"]}, NAME)
    (back,) = host.operate(move.moved, plan=made)
    assert isinstance(back, FunctionCommand)
    assert back.function is nodes.put_back


def test_sizes_of_volumes(shell: Shell, tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(bytes(100_000))
    shell.stub("docker", f"echo {tmp_path}")
    fact = VolumeSizes()
    found = fact.process(shell.lines(fact.command(["quaylab-database", "quaylab-redis"])))
    assert found.keys() == {"quaylab-database", "quaylab-redis"}
    assert found["quaylab-redis"] >= 98


def test_a_volume_whose_directory_is_gone_has_no_size() -> None:
    found = VolumeSizes().process(["quaylab-database ", "quaylab-redis 98"])
    assert found == {"quaylab-redis": 98}


# --- what was kept -----------------------------------------------------------------------------


ANSWERS = EngineReported("28.0.1", "/var/lib/docker", None)


def _purging(store: Store, docker: EngineReport, note: str | None = DONE, **data: Any) -> Plan:
    podman = EngineReport(volumes=(OWN, DIRECTORY))
    return _plan(store, docker, podman, note, moves=False, **{"purge_engine": "docker", **data})


def test_only_our_own_is_removed_and_the_note_last(store: Store, moving: Plan) -> None:
    redis = engine(moving.workload("redis", NAME).container)
    others = FoundVolume("quaylab-of-others", {})
    another = FoundVolume("quaylab-another", {CREDENTIALS_LABEL: "another"})
    kept = EngineReport(ANSWERS, (OWN, DIRECTORY, others, another), state=redis)
    made = _purging(store, kept)
    commands = FakeHost(name=NAME).shell(purge.data_removed, plan=made, engine=purge.former(made))
    assert [each.split(" >")[0] for each in commands if "volume" in each] == [
        "docker stop quaylab-redis",
        "docker volume rm quaylab-database",
        "docker volume rm quaylab-redis",
    ]
    assert "docker network rm quaylab" in commands[1]
    assert commands[-1] == f"rm -f {NOTE}"
    assert not [each for each in commands if "/data/" in each]


def test_a_stopped_unit_is_removed_as_well(store: Store) -> None:
    """It would start at the next boot."""
    stopped = EngineState({"quaylab-redis": podman_report.STOPPED}, {}, (), {})
    docker, podman = EngineReport(volumes=(OWN,)), EngineReport(volumes=(OWN,), state=stopped)
    data = {"container_engine": "docker", "purge_engine": "podman"}
    made = _plan(store, docker, podman, "docker 2026-11-27T09:30:00+00:00", moves=False, **data)
    first, *_ = FakeHost(name=NAME).shell(purge.data_removed, plan=made, engine=PODMAN)
    assert first.startswith("rm -f /etc/containers/systemd/quaylab-redis.container; ")


def test_images_are_removed_each_before_the_one_it_is_built_on(store: Store) -> None:
    made = _purging(store, EngineReport(volumes=(OWN,)))
    references = [image.reference for image in made.images_of(NAME)]
    host = ByEngine(docker=references, podman=[])
    commands = host.shell(purge.images_removed, plan=made, engine=DOCKER)
    removed = [each.split()[3] for each in commands]
    assert removed == list(reversed(references))


def test_a_host_that_was_never_moved_keeps_all(store: Store) -> None:
    made = _purging(store, EngineReport(), note=None)
    for operation in (purge.data_removed, purge.images_removed):
        host = FakeHost(name=NAME)
        assert host.operate(operation, plan=made, engine=DOCKER) == []
        assert host.noops == ["no data was moved away from Docker"]


def test_an_engine_that_hides_what_it_has_kept_is_refused(store: Store) -> None:
    for docker, state in (
        (EngineReport(EngineReported(None, None, None)), "does not answer"),
        (EngineReport(), "is not installed"),
    ):
        with pytest.raises(DeployError, match=f"Docker, whose volumes would stay, {state}"):
            purge.former(_purging(store, docker))


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, "purge_engine: not set; set it to the engine that the registry has left"),
        ("podman", "purge_engine: quay.example.com uses Podman, so its data is no copy"),
    ],
)
def test_only_the_former_engine_is_purged(store: Store, named: str | None, expected: str) -> None:
    made = _purging(store, EngineReport(volumes=(OWN,)), purge_engine=named)
    with pytest.raises(DeployError, match=expected):
        purge.former(made)


@pytest.mark.parametrize("there", [(), (dataclasses.replace(OWN, empty=True),)])
def test_the_only_data_is_never_removed(store: Store, there: tuple[FoundVolume, ...]) -> None:
    kept, used = EngineReport(ANSWERS, (OWN,)), EngineReport(volumes=there)
    made = _plan(store, kept, used, DONE, moves=False, purge_engine="docker")
    with pytest.raises(DeployError, match="has the data of quaylab-database in Docker alone"):
        purge.former(made)


def test_the_engine_that_a_teardown_purges_too(moved: Plan) -> None:
    assert purge.has_former(moved, NAME)
    assert purge.other(moved, NAME) is DOCKER

"""Volumes and images go from one engine to another: real copies, with stubs for the engines."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from quaylab import engine_move, plan
from quaylab.checks import fetched_images
from quaylab.engines import DOCKER, PODMAN
from quaylab.engines.state import FoundVolume
from quaylab.hosts.machine import EngineReport
from quaylab.model import CREDENTIALS_LABEL
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from tests.unit.samples import CREDENTIALS, host, machine
from tests.unit.shell import Shell

NAME = "quay.example.com"
OURS = {CREDENTIALS_LABEL: CREDENTIALS.fingerprint}
REGISTRY = f"{CREDENTIALS.fingerprint} {NAME} quaylab"
ROOT = "/var/lib/containers/storage"
# The file that is damaged in a copy; its name is the hardest one.
VICTIM = Path("folder", "a name\nof two lines")


def moving(
    store: Store,
    volumes: tuple[FoundVolume, ...] = (FoundVolume("quaylab-old", OURS),),
    podman: EngineReport | None = None,
    changes: dict[str, Any] | None = None,
    **data: Any,
) -> Plan:
    """Return the plan of a move from Docker to Podman on one host, with these volumes."""
    engines = {"docker": EngineReport(volumes=volumes), "podman": podman or EngineReport()}
    found = machine(engines=engines, registry=REGISTRY, **{"schema": "v3.18.0", **(changes or {})})
    hosts = [host(NAME, **{"container_engine": "podman", **data})]
    return plan.make(hosts, {NAME: found}, store, moves_engine=True)


@pytest.fixture
def copy(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A volume's directory with all kinds of things, and the other engine's empty one."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir(mode=0o750)
    after.mkdir()
    (before / "folder").mkdir(mode=0o2770)
    (before / VICTIM).write_text("content")
    (before / "link").symlink_to("folder/nowhere")
    (before / "empty").touch(mode=0o604)
    os.utime(before / "empty", ns=(1, 1_500_000_000_123_456_789))
    os.mkfifo(before / "pipe")
    os.link(before / "empty", before / "second name")
    for client, path in (("docker", before), ("podman", after)):
        shell.stub(client, f"echo {path}")
    monkeypatch.setattr(engine_move, "FOLDER", str(tmp_path / "lists"))
    return before, after


def _copy(shell: Shell) -> str:
    done = shell.run(engine_move.copied_volume(DOCKER, PODMAN, "quaylab-database"))
    return "" if done.returncode == 0 else done.stderr or "no reason"


def _listed(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *folder.rglob("*")):
        at = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(folder))] = (at.st_mode, at.st_mtime_ns, at.st_nlink, content)
    return found


def test_a_volume_is_copied_with_all_that_it_has(shell: Shell, copy: tuple[Path, Path]) -> None:
    before, after = copy
    assert _copy(shell) == ""
    assert _listed(after) == _listed(before)
    assert "volume inspect --format {{.Mountpoint}} quaylab-database" in shell.calls[0]


def test_a_copy_gets_the_labels_of_its_place(shell: Shell, copy: tuple[Path, Path]) -> None:
    """Also one that a killed run has left without them."""
    shell.stub("restorecon", "")
    _copy(shell)
    shell.stub("selinuxenabled", "")
    for _ in range(2):
        shell.log.unlink()
        assert _copy(shell) == ""
        assert shell.calls[-1] == f"restorecon -RF {copy[1]}"


def test_an_equal_copy_is_not_made_again(shell: Shell, copy: tuple[Path, Path]) -> None:
    _copy(shell)
    shell.stub("cp", "exit 1")
    assert _copy(shell) == ""


def test_what_a_killed_run_has_copied_is_replaced(shell: Shell, copy: tuple[Path, Path]) -> None:
    before, after = copy
    _copy(shell)
    (after / "half").write_text("half")
    (before / "later").write_text("later")
    assert _copy(shell) == ""
    assert _listed(after) == _listed(before)


def test_a_copy_whose_content_alone_is_lost_is_replaced(
    shell: Shell, copy: tuple[Path, Path]
) -> None:
    """As after a power cut: a file with its size and time, and without its content."""
    before, after = copy
    _copy(shell)
    victim = after / VICTIM
    at = victim.stat()
    victim.write_bytes(bytes(at.st_size))
    os.utime(victim, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert _copy(shell) == ""
    assert _listed(after) == _listed(before)


def test_a_copy_that_is_not_equal_fails(shell: Shell, copy: tuple[Path, Path]) -> None:
    _, after = copy
    shell.stub("cp", f"echo other >{after}/empty")
    assert "empty" in _copy(shell)
    shell.stub("cp", "echo 'no space left' >&2; exit 1")
    assert "no space left" in _copy(shell)


def test_a_copy_with_another_content_alone_fails(shell: Shell, copy: tuple[Path, Path]) -> None:
    """Each file has its size and time, as if the disk had damaged one while it was written."""
    before, after = copy
    damaged = shlex.quote(str(after / VICTIM))
    shell.stub(
        "cp",
        f'{shutil.which("cp")} "$@" && printf CONTENT >{damaged} && '
        f"touch -r {shlex.quote(str(before / VICTIM))} {damaged}",
    )
    assert VICTIM.name.partition("\n")[0] in _copy(shell)
    assert (after / VICTIM).stat().st_mtime_ns == (before / VICTIM).stat().st_mtime_ns


def test_a_volume_that_is_not_there_fails_before_anything_is_deleted(
    shell: Shell, copy: tuple[Path, Path]
) -> None:
    _, after = copy
    (after / "kept").touch()
    shell.stub("docker", "exit 1")
    assert _copy(shell)
    assert (after / "kept").exists()


IMAGE = "quaylab/redis:8"


@pytest.fixture
def image(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The note of an image that Docker has and Podman gets; the note's path."""
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setattr(fetched_images, "IMAGE_NOTES", str(notes))
    shell.stub("docker", "echo archive")
    shell.stub(
        "podman",
        f"case $1 in load) cat >{tmp_path}/loaded ;; *) test -e {tmp_path}/loaded && "
        'test "$2 $3" != "inspect --format" || echo sha256:new name@sha256:digest ;; esac',
    )
    return Path(fetched_images.note_path(IMAGE))


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        ("sha256:old\n", "sha256:old sha256:new name@sha256:digest\n"),
        ("sha256:new\n", "sha256:new\n"),
    ],
    ids=["another identity", "the same"],
)
def test_an_image_keeps_its_identity(shell: Shell, image: Path, noted: str, expected: str) -> None:
    image.write_text(noted)
    assert shell.run(engine_move.copied_image(DOCKER, PODMAN, IMAGE)).returncode == 0
    assert f"docker save {IMAGE}" in shell.calls
    assert image.read_text() == expected


def test_an_image_that_is_not_loaded_fails(shell: Shell, image: Path) -> None:
    shell.stub("podman", "exit 1")
    assert shell.run(engine_move.copied_image(DOCKER, PODMAN, IMAGE)).returncode != 0


def test_our_volumes_are_moved_with_all_their_labels(store: Store) -> None:
    labels = {**OURS, "io.quaylab.path": "/data", "mine": "a b"}
    found = (
        FoundVolume("quaylab-quay-storage", labels, device="/data/quaylab-quay-storage"),
        FoundVolume("quaylab-of-others", {}),
    )
    (volume,) = engine_move.volumes(moving(store, found), NAME).values()
    assert (volume.name, volume.path, volume.labels) == ("quaylab-quay-storage", "/data", labels)
    command = PODMAN.volume_command(volume)
    assert "--opt=device=/data/quaylab-quay-storage" in command
    assert "'--label=mine=a b'" in command


SPACE: dict[str, Any] = {"free_mb": {"/": 11000}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "space": (
        {"changes": SPACE},
        "has 11000 MB free on /, and Podman needs 1500 MB there for the copy of its volumes and "
        "10240 MB for images",
    ),
    "upgrade": (
        {"changes": {"schema": "v3.17.0"}},
        "quay_version: v3.18.0, and the database's schema is of v3.17.0; deploy with Docker",
    ),
    "disk": (
        {"docker_storage": {"devices": ["/dev/vdb"]}},
        "docker_storage: its disk of quay.example.com is Docker's",
    ),
    "volume of others": (
        {"podman": EngineReport(volumes=(FoundVolume("quaylab-old", {}),))},
        "Podman has a volume quaylab-old that Quaylab has not made",
    ),
    "container of others": (
        {"podman": EngineReport(containers={"quaylab-redis": {}})},
        "container quaylab-redis was not made by Quaylab",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(store: Store, case: str) -> None:
    arguments, expected = REFUSED[case]
    with pytest.raises(Refusal) as refused:
        engine_move.refuse_unfit(moving(store, **arguments), {NAME: (1500 * 1024, 0)})
    (problem,) = refused.value.problems
    assert expected in problem


def test_a_volume_whose_directory_is_gone_is_refused_by_name(store: Store) -> None:
    found = FoundVolume("quaylab-quay-storage", OURS, missing=True, empty=True)
    with pytest.raises(Refusal) as refused:
        engine_move.refuse_unfit(moving(store, (found,)), {NAME: (0, 0)})
    (problem,) = refused.value.problems
    assert "the directory of volume quaylab-quay-storage is gone" in problem
    assert problem.endswith("docker volume rm quaylab-quay-storage")


def test_cephadms_daemons_are_refused(store: Store) -> None:
    made = moving(store)
    hosts = {**made.topology.hosts, "ceph": (NAME, "two.example.com", "three.example.com")}
    topology = dataclasses.replace(made.topology, hosts=hosts)
    with pytest.raises(Refusal, match="are cephadm's own containers, which are not moved"):
        engine_move.refuse_unfit(dataclasses.replace(made, topology=topology), {})


def test_what_is_copied_already_needs_no_space(store: Store) -> None:
    copied = (1500 * 1024, 1400 * 1024)
    engine_move.refuse_unfit(moving(store, changes=SPACE), {NAME: copied})


def test_a_moved_host_needs_nothing(store: Store) -> None:
    both = EngineReport(volumes=(FoundVolume("quaylab-old", OURS),))
    made = moving(store, podman=both, changes={"engine_note": "podman 2026", "free_mb": {"/": 1}})
    assert engine_move.is_moved(made, NAME)
    engine_move.refuse_unfit(made, {})

"""The launcher: the runs of pyinfra for each verb, with a stub instead of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from quaylab import __version__
from tests.unit.samples import ROOT

PURGE = ("--data", "purge=quay.quaylab.lan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a virtual environment whose pyinfra records its arguments."""
    shutil.copy(ROOT / "lab", tmp_path)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    groups = {"cluster": "openshift", "lab": "hypervisor", "plain": "quay"}
    for name, text in {name: f"{group} = []\n" for name, group in groups.items()}.items():
        inventory = tmp_path / "inventories" / name / "inventory.py"
        inventory.parent.mkdir(parents=True)
        inventory.write_text(text)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/bin/sh\n"
        "case $1 in --version) echo stub; exit ;; esac\n"
        f'shift 2; echo "$*" >>{tmp_path}/calls; case "$*" in *"$FAILS"*) exit 1 ;; esac\n'
    )
    python.chmod(0o755)
    stamp = subprocess.run(
        ["sha256sum", "requirements.lock"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (tmp_path / ".venv" / "stamp").write_text(f"stub\n{stamp.stdout}")
    return tmp_path


def _calls(folder: Path, *arguments: str, fails: str = "no call") -> tuple[int, list[str]]:
    environment = {**os.environ, "HOME": str(folder), "FAILS": fails}
    done = subprocess.run(["bash", "lab", *arguments], cwd=folder, env=environment, timeout=30)
    return done.returncode, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (("up", "plain"), ["-y {plain} deploy.py"]),
        (
            ("up", "lab"),
            ["-y {lab} tasks/hypervisor.py --limit hypervisor", "-y {lab} deploy.py"],
        ),
        (
            ("up", "lab", "--dry"),
            ["{lab} tasks/hypervisor.py --limit hypervisor --dry", "{lab} deploy.py --dry"],
        ),
        (("up", "cluster", "--dry"), ["{cluster} tasks/openshift.py --dry"]),
        (
            ("down", "cluster", *PURGE),
            ["-y {cluster} tasks/teardown_openshift.py --data purge=quay.quaylab.lan"],
        ),
        (
            ("status", "cluster"),
            [
                "-y {cluster} tasks/status_openshift.py",
                "--dry --json {cluster} tasks/openshift.py",
                "",  # quaylab.drift, which reads that
            ],
        ),
        (("down", "lab"), ["-y {lab} tasks/teardown.py"]),
        (("down", "plain", *PURGE), ["-y {plain} tasks/teardown.py --data purge=quay.quaylab.lan"]),
        (
            ("down", "lab", *PURGE),
            [
                "-y {lab} tasks/teardown.py --exclude lab --exclude hypervisor "
                "--data purge=quay.quaylab.lan",
                "-y {lab} tasks/teardown_hypervisor.py --limit hypervisor "
                "--data purge=quay.quaylab.lan",
            ],
        ),
    ],
)
def test_runs_of_a_verb(folder: Path, arguments: tuple[str, ...], calls: list[str]) -> None:
    names = ("cluster", "lab", "plain")
    inventories = {name: f"inventories/{name}/inventory.py" for name in names}
    assert _calls(folder, *arguments) == (0, [call.format(**inventories) for call in calls])


def test_nothing_is_deployed_if_the_vms_could_not_be_created(folder: Path) -> None:
    code, calls = _calls(folder, "up", "lab", fails="hypervisor.py")
    assert code == 1
    assert len(calls) == 1


def test_version(folder: Path) -> None:
    (folder / "quaylab").mkdir()
    shutil.copy(ROOT / "quaylab" / "__init__.py", folder / "quaylab")
    done = subprocess.run(["bash", "lab", "version"], cwd=folder, capture_output=True, text=True)
    assert done.stdout == f"{__version__}\n"


def test_called_by_a_link_in_another_folder(folder: Path) -> None:
    (folder / "quaylab").mkdir()
    shutil.copy(ROOT / "quaylab" / "__init__.py", folder / "quaylab")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "quaylab").symlink_to("../lab")
    done = subprocess.run(
        ["bash", folder / "elsewhere" / "quaylab", "version"],
        cwd="/", capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == f"{__version__}\n"


@pytest.mark.parametrize("verb", ["demo", "up", "verify", "status", "down"])
def test_an_unknown_inventory_is_refused_before_pyinfra_is_called(folder: Path, verb: str) -> None:
    """pyinfra would take the word for a host, or run on no host."""
    done = subprocess.run(
        ["bash", "lab", verb, "nosuch"], cwd=folder, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert done.stderr == (
        "lab: there is no inventory 'nosuch'; inventories/ has: cluster lab plain\n"
    )
    assert not (folder / "calls").exists()

"""The launcher: the runs of pyinfra for each verb, with a stub instead of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from quaylab import __version__
from tests.conftest import LONGEST
from tests.unit.samples import ROOT

PURGE = ("--data", "purge=quay.quaylab.lan")
# All that the launcher would install.
TOOLS = (
    *("docker", "dockerd", "mmdebstrap", "libvirtd", "qemu-system-x86_64", "qemu-img"),
    *("xorrisofs", "syslinux", "nft", "sfdisk", "ssh", "kubectl"),
)
LOCKS = ("requirements.lock", "tests/requirements.lock")
STUB = """\
#!/bin/sh
case $1 in --version) echo stub; exit ;; esac
shift
echo "$*" | sed 's/^pyinfra //' >>{folder}/calls
case "$*" in *tasks/status*) printf %s "$TABLE" ;; esac
case "$*" in *"$FAILS"*) exit $STATUS ;; esac
"""
FAST = "pytest --durations=20 --numprocesses=2 --dist=loadfile tests/unit tests/deploy"
DURATIONS = "--durations=0 --durations-min=1"
MERGED = (
    f"pytest -m openshift or machine or ceph or vm {DURATIONS} --numprocesses=2 --dist=loadfile "
    "--no-loadscope-reorder"
)
ALONE = f"pytest -m ha {DURATIONS}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a virtual environment whose pyinfra records its arguments."""
    shutil.copy(ROOT / "lab", tmp_path)
    (tmp_path / "tests").mkdir()
    for name in LOCKS:
        shutil.copy(ROOT / name, tmp_path / name)
    groups = {"cluster": "openshift", "lab": "hypervisor", "plain": "quay"}
    for name, text in {name: f'{group} = ["@local"]\n' for name, group in groups.items()}.items():
        inventory = tmp_path / "inventories" / name / "inventory.py"
        inventory.parent.mkdir(parents=True)
        inventory.write_text(text)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STUB.format(folder=tmp_path))
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
    for program in (python, *(tmp_path / "bin").iterdir()):
        program.chmod(0o755)
    stamp = subprocess.run(
        ["sha256sum", *LOCKS], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (tmp_path / ".venv" / "stamp").write_text(f"stub\n{stamp.stdout}")
    return tmp_path


def _calls(
    folder: Path, *arguments: str, fails: str = "no call", status: int = 1, table: str = ""
) -> tuple[int, list[str]]:
    environment = {**os.environ, "HOME": str(folder), "FAILS": fails, "STATUS": str(status)}
    environment["TABLE"] = table
    environment["PATH"] = f"{folder}/bin:{environment['PATH']}"
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
                "quaylab.drift",  # which reads that
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


@pytest.mark.parametrize(
    ("text", "has_hypervisor"),
    [
        ('hypervisor: list[str] = ["@local"]', True),
        ('hypervisor, lab = ["@local"], []', True),
        ('(lab, hypervisor) = [], ["@local"]', True),
        ('lab = hypervisor = ["@local"]', True),
        ('hypervisor=["@local"]', True),
        ('hypervisor = [\n    "@local",\n]', True),
        ('hypervisor = []\nif True:\n    hypervisor = ["@local"]', True),
        ('hypervisor: list[str] = []\nhypervisor += ["@local"]', True),
        ('hypervisor = []\nhypervisor.append("@local")', True),
        # pyinfra has no such group.
        ("hypervisor = []", False),
        ("hypervisor: list[str] = [ ]  # none yet", False),
        ("lab = hypervisor = ()", False),
        ("hypervisors = []", False),
        ("# hypervisor = []", False),
        ("lab = hypervisor", False),
        ("is_made = hypervisor == lab", False),
        ("lab = _machines(hypervisor=1)", False),
        ('_URI = "qemu+ssh://hypervisor/system?socket=1"', False),
    ],
)
def test_an_inventory_with_a_hypervisor(folder: Path, text: str, has_hypervisor: bool) -> None:
    (folder / "inventories" / "plain" / "inventory.py").write_text(f"{text}\n")
    _, calls = _calls(folder, "up", "plain")
    assert len(calls) == 1 + has_hypervisor


@pytest.mark.parametrize("verb", ["up", "status"])
def test_an_empty_group_of_clusters_is_none(folder: Path, verb: str) -> None:
    (folder / "inventories" / "plain" / "inventory.py").write_text("hypervisor = openshift = []\n")
    code, calls = _calls(folder, verb, "plain", table="Quay  healthy")
    assert code == 0
    assert "deploy.py" in " ".join(calls)
    assert "openshift" not in " ".join(calls)


def test_nothing_is_deployed_if_the_vms_could_not_be_created(folder: Path) -> None:
    code, calls = _calls(folder, "up", "lab", fails="hypervisor.py")
    assert code == 1
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("fails", "table", "code", "calls"),
    [
        ("no call", "Quay  healthy", 0, 3),
        ("quaylab.drift", "Quay  healthy", 1, 3),
        # Its drift is shown as well.
        ("tasks/status.py", "Quay  not healthy", 2, 3),
        ("tasks/status.py", "", 2, 1),
        ("--dry", "Quay  healthy", 2, 2),
    ],
    ids=["well", "drifted", "broken", "refused", "not reachable"],
)
def test_status_of_the_registrys_status(
    folder: Path, fails: str, table: str, code: int, calls: int
) -> None:
    done, called = _calls(folder, "status", "plain", fails=fails, table=table)
    assert done == code
    assert len(called) == calls


@pytest.mark.parametrize(("fails", "calls"), [("tasks/status.py", 1), ("--dry", 2)])
@pytest.mark.parametrize("signal", [2, 15])
def test_an_interrupted_status_is_none_of_the_registrys(
    folder: Path, fails: str, calls: int, signal: int
) -> None:
    """pyinfra ends with 128 + the number of the signal."""
    table = "Quay  healthy"
    done, called = _calls(folder, "status", "plain", fails=fails, status=128 + signal, table=table)
    assert (done, len(called)) == (128 + signal, calls)


def test_status_that_could_not_look_has_not_drifted(folder: Path) -> None:
    (folder / "requirements.lock").write_text("other\n")
    for name in ("gcc", "pkg-config", "python3", "python3.10", "python3.11", "python3.12",
                 "python3.13"):  # fmt: skip
        (folder / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / "bin" / name).chmod(0o755)
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{folder}/bin:/usr/bin:/bin"}
    for name in ("apt-get", "dnf", "yum"):  # nothing is installed
        (folder / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / "bin" / name).chmod(0o755)
    codes = [
        subprocess.run(
            ["bash", "lab", verb, "plain"], cwd=folder, env=environment, timeout=30
        ).returncode
        for verb in ("status", "up")
    ]
    assert codes == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "tests"),
    [
        ((), "tests/hosts"),
        (("-k", "redis"), "-k redis tests/hosts"),
        (("tests/hosts/test_redis.py",), "tests/hosts/test_redis.py"),
        (("-v", "tests/hosts/test_redis.py::test_it"), "-v tests/hosts/test_redis.py::test_it"),
        (
            ("--deselect", "tests/hosts/test_redis.py"),
            "--deselect tests/hosts/test_redis.py tests/hosts",
        ),
    ],
)
@pytest.mark.parametrize("inventory", ["plain", ""])
def test_files_of_tests_select_what_is_verified(
    folder: Path, inventory: str, arguments: tuple[str, ...], tests: str
) -> None:
    (folder / "inventory.py").write_text("quay = []\n")
    code, calls = _calls(folder, "verify", *filter(None, [inventory]), *arguments)
    path = "inventories/plain/inventory.py" if inventory else "inventory.py"
    assert (code, calls) == (0, [f"pytest --hosts=all --inventory={path} {tests}"])


@pytest.mark.parametrize(
    ("arguments", "sessions"),
    [
        (
            (),
            [
                f"{FAST} --cov",
                f"{MERGED} tests/openshift tests/machine tests/ceph tests/vm",
                f"{ALONE} tests/ha",
            ],
        ),
        (
            ("--all", "-k", "redis"),
            [
                f"{FAST} -k redis",
                f"{MERGED} tests/openshift tests/machine tests/ceph tests/vm --all -k redis",
                f"{ALONE} tests/ha --all -k redis",
            ],
        ),
        (("tests/vm",), [f"{MERGED} tests/vm"]),
        (
            ("tests/ha/test_nodes.py", "tests/ceph", "tests/machine/test_lock.py::test_it"),
            [
                f"{MERGED} tests/ceph tests/machine/test_lock.py::test_it",
                f"{ALONE} tests/ha/test_nodes.py",
            ],
        ),
    ],
    ids=" ".join,
)
def test_sessions_of_tests(folder: Path, arguments: tuple[str, ...], sessions: list[str]) -> None:
    code, calls = _calls(folder, "test", *arguments)
    assert code == 0
    assert [call for call in calls if call.startswith("pytest")] == sessions


@pytest.mark.parametrize(
    ("arguments", "status", "code", "sessions"),
    [
        ((), 1, 1, 2),
        ((), 5, 5, 2),
        # Where tests were selected, a session may have none of them.
        (("-k", "redis"), 5, 0, 3),
        (("-k", "redis", "tests/vm"), 5, 5, 1),
    ],
)
def test_status_of_a_session(
    folder: Path, arguments: tuple[str, ...], status: int, code: int, sessions: int
) -> None:
    done, calls = _calls(folder, "test", *arguments, fails="machine or ceph", status=status)
    assert done == code
    assert len([call for call in calls if call.startswith("pytest")]) == sessions


@pytest.mark.parametrize(
    ("arguments", "built"),
    [
        ((), ["tests.images tests/openshift tests/machine tests/ceph tests/vm tests/ha"]),
        (("tests/ha", "tests/unit"), ["tests.images tests/ha"]),
        (("tests/unit",), []),
    ],
    ids=" ".join,
)
def test_images_are_built_for_the_tests_on_machines(
    folder: Path, arguments: tuple[str, ...], built: list[str]
) -> None:
    _, calls = _calls(folder, "test", *arguments)
    assert [call for call in calls if call.startswith("tests.images")] == built


def test_no_machine_is_made_without_its_images(folder: Path) -> None:
    code, calls = _calls(folder, "test", fails="tests.images")
    assert code == 1
    assert [call for call in calls if call.startswith("pytest")] == [f"{FAST} --cov"]


def test_the_longest_files_exist() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []


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
    assert done.returncode == (2 if verb == "status" else 1)
    assert done.stderr == (
        "lab: there is no inventory 'nosuch'; inventories/ has: cluster lab plain\n"
    )
    assert not (folder / "calls").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--dry", "plain"),
        ("up", "-y", "inventories/plain/inventory.py"),
        ("status", "--data=redis_port=6380", "plain"),
        ("down", "--data", "purge=quay.quaylab.lan", "my-site"),
        ("show", "--mermaid", "plain"),
        ("demo", "--limit", "quay", "plain"),
    ],
)
def test_an_inventory_after_the_options_is_refused(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    """The default one would be deployed."""
    for name in ("inventory.py", "inventories/demo/inventory.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("quay = []\n")
    done = subprocess.run(
        ["bash", "lab", *arguments], cwd=folder, capture_output=True, text=True, timeout=30
    )
    verb, *_, late = arguments
    assert done.returncode == (2 if verb == "status" else 1)
    assert done.stderr == (
        f"lab: '{late}' comes too late; name the inventory right after the verb: "
        f"./lab {verb} {late} …\n"
    )
    assert not (folder / "calls").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up", "plain", "redis_port=6380"), "for a setting: --data redis_port=6380"),
        (("up", "plain", "--dry", "redis_port=6380"), "for a setting: --data redis_port=6380"),
        (("down", "plain", "purge=NAME"), "for a setting: --data purge=NAME"),
        (("up", "--dry", "redis_port=6380"), "for a setting: --data redis_port=6380"),
        (("up", "plain", "lab"), "'lab' is no option, and no file of operations"),
        (("status", "plain", "no.py"), "'no.py' is no option, and no file of operations"),
    ],
)
def test_words_that_pyinfra_would_take_for_operations_are_refused(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    (folder / "inventory.py").write_text("quay = []\n")
    done = subprocess.run(
        ["bash", "lab", *arguments], cwd=folder, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == (2 if arguments[0] == "status" else 1)
    assert message in done.stderr
    assert not (folder / "calls").exists()


def test_further_operations_of_ones_own(folder: Path) -> None:
    (folder / "mine.py").touch()
    code, calls = _calls(folder, "up", "plain", "mine.py")
    assert (code, calls) == (0, ["-y inventories/plain/inventory.py deploy.py mine.py"])


@pytest.mark.parametrize(
    "options",
    [
        ("--limit", "plain", "--dry"),
        ("--data", "redis_port=6380", "--sudo"),
        ("--sudo-user", "me", "--data=a=b"),
    ],
)
def test_options_without_an_inventory(folder: Path, options: tuple[str, ...]) -> None:
    (folder / "inventory.py").write_text("quay = []\n")
    yes = "" if "--dry" in options else "-y "
    code, calls = _calls(folder, "up", *options)
    assert (code, calls) == (0, [f"{yes}inventory.py deploy.py {' '.join(options)}"])

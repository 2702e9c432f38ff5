"""The launcher finds or installs a Python that is new enough, on RHEL too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.samples import ROOT

# What the launcher needs beside the doubles.
TOOLS = ("bash", "cat", "cp", "dirname", "id", "mkdir", "mktemp", "readlink", "rm", "sha256sum")
# Doubles of Python say their version by what they answer, and log what they are asked for.
PYTHON = """\
#!/bin/sh
case "$1 $2" in
"- ") cat >/dev/null; test {new} = yes || exit 1; echo {path} ;;
"-c "*) echo {folder}/include ;;
"-m venv") echo "venv by {name}" >>{folder}/log; exit 1 ;;
esac
"""
# dnf makes the commands that its packages bring.
DNF = """\
#!/bin/sh
echo "dnf $*" >>{folder}/log
case "$*" in
*repolist*) echo 'repo id  repo name'; cat {folder}/repositories ;;
*" python3.12") cp {folder}/python3.12 {folder}/bin/python3.12 ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A machine with dnf and a Python that is too old."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "inventories" / "demo").mkdir(parents=True)
    (tmp_path / "inventories" / "demo" / "inventory.py").touch()
    (tmp_path / "repositories").touch()
    for name in ("lab", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for tool in TOOLS:
        found = subprocess.run(["which", tool], capture_output=True, text=True, check=True)
        (tmp_path / "bin" / tool).symlink_to(found.stdout.strip())
    _program(tmp_path / "bin" / "dnf", DNF.format(folder=tmp_path))
    _python(tmp_path, "python3", new=False)
    _python(tmp_path, "python3.12", new=True, at=tmp_path)
    return tmp_path


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _python(folder: Path, name: str, new: bool, at: Path | None = None) -> None:
    path = folder / "bin" / name
    text = PYTHON.format(folder=folder, name=name, path=path, new="yes" if new else "no")
    _program((at or path.parent) / name, text)


def _log(folder: Path, user: int = 0) -> tuple[list[str], str]:
    """Call ``./lab demo``, which ends when it makes the environment; return what it has called, and
    its messages."""
    (folder / "bin" / "id").unlink()
    _program(folder / "bin" / "id", f"#!/bin/sh\necho {user}\n")
    done = subprocess.run(
        [folder / "bin" / "bash", "lab", "demo"], cwd=folder, capture_output=True, text=True,
        env={"PATH": f"{folder}/bin", "HOME": str(folder)}, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else [], done.stderr


@pytest.mark.parametrize("name", ["python3.11", "python3.12"])
def test_a_newer_python_beside_the_systems_is_found(folder: Path, name: str) -> None:
    _python(folder, name, new=True)
    calls, _ = _log(folder)
    assert not any(" install " in each and " python" in each.split("libvirt")[0] for each in calls)
    assert calls[-1] == f"venv by {name}"


def test_rhels_python_is_too_old_so_another_is_installed(folder: Path) -> None:
    calls, _ = _log(folder)
    assert calls[0] == "dnf install -qy python3.12"
    assert calls[-1] == "venv by python3.12"


def test_without_root_the_command_is_told(folder: Path) -> None:
    calls, said = _log(folder, user=1000)
    assert calls == []
    assert "not root, so run this first: sudo dnf install python3.12" in said


@pytest.mark.parametrize(
    ("listed", "enabled"),
    [
        ("crb              AlmaLinux 9 - CRB", "crb"),
        ("powertools       Rocky Linux 8 - PowerTools", "powertools"),
        ("ol9_codeready_builder  Oracle Linux 9", "ol9_codeready_builder"),
        (
            "codeready-builder-for-rhel-9-x86_64-debug-rpms   d\n"
            "codeready-builder-for-rhel-9-x86_64-rpms   r\n"
            "codeready-builder-for-rhel-9-x86_64-source-rpms   s",
            "codeready-builder-for-rhel-9-x86_64-rpms",
        ),
        ("epel   Extra Packages", None),
    ],
    ids=["alma", "rocky", "oracle", "rhel", "none"],
)
def test_libvirts_headers_are_in_a_repository_that_is_off(
    folder: Path, listed: str, enabled: str | None
) -> None:
    (folder / "repositories").write_text(f"{listed}\n")
    calls, _ = _log(folder)
    (install,) = [each for each in calls if "libvirt-devel" in each]
    option = f"--enablerepo={enabled} " if enabled else ""
    assert install == f"dnf install -qy {option}gcc pkgconf libvirt-devel python3.12-devel"

"""Podman's command lines, by a real shell with stubs for Podman and systemd.

The stubs are doubles: they record their calls, and tests/machine has the real ones.
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest

from quaylab.engines import PODMAN, quadlet, units
from quaylab.engines.state import WrittenFile
from quaylab.model import DIGEST_LABEL, Container, Mount, Volume
from tests.unit.quaylab.test_model import CONTAINER
from tests.unit.shell import Shell
from tests.unit.states import engine

NAME, SERVICE = CONTAINER.name, f"{CONTAINER.name}.service"
# The folder of units is beside that of the stubs.
SOURCE = f'$(dirname "$0")/../units/{NAME}.container'
SHOWN = f"Restart=always\\nFragmentPath={units.service_path(NAME)}\\nSourcePath={SOURCE}\\n"
SHOW = f'test $1 != show || printf "{SHOWN}"'


@pytest.fixture
def host(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell with Podman, systemd and a generator that accepts every unit."""
    shell.stub("podman", 'test "$1 $2" != "container inspect"')
    shell.stub("systemctl", SHOW)
    shell.stub("generator", "cat $QUADLET_UNIT_DIRS/*.container >/dev/null")
    monkeypatch.setattr(units, "FOLDER", str(tmp_path / "units"))
    monkeypatch.setattr(quadlet, "GENERATOR", "generator")
    return shell


def _replace(container: Container) -> str:
    (command,) = PODMAN.replace(container)
    return command


def _unit(tmp_path: Path) -> Path:
    return tmp_path / "units" / f"{NAME}.container"


def test_a_container_is_a_unit_that_systemd_starts(host: Shell, tmp_path: Path) -> None:
    host.stub("sync", ":")
    assert host.run(_replace(CONTAINER)).returncode == 0
    assert _unit(tmp_path).read_text() == units.unit(CONTAINER)
    calls = [each for each in host.calls if not each.startswith("podman")]
    assert calls == [
        "generator --dryrun",
        f"sync {_unit(tmp_path)}.new",
        f"systemctl unmask --quiet {SERVICE}",
        f"systemctl unmask --quiet --runtime {SERVICE}",
        "systemctl daemon-reload",
        f"systemctl show --property=FragmentPath,Restart,SourcePath {SERVICE}",
        f"systemctl stop {SERVICE}",
        f"systemctl reset-failed {SERVICE}",
        f"systemctl restart {SERVICE}",
    ]


def test_odd_values_reach_the_unit_unchanged(host: Shell, tmp_path: Path) -> None:
    odd = dataclasses.replace(CONTAINER, command=("it's", "$HOME", "`id`", "100%", "two\nlines"))
    assert host.run(_replace(odd)).returncode == 0
    assert _unit(tmp_path).read_text() == units.unit(odd)


def test_a_unit_that_the_generator_refuses_replaces_nothing(host: Shell, tmp_path: Path) -> None:
    host.run(_replace(CONTAINER))
    host.stub("generator", "echo 'unsupported key' >&2; exit 1")
    host.log.unlink()
    other = dataclasses.replace(CONTAINER, image="redis:9")
    done = host.run(_replace(other))
    assert done.returncode != 0
    assert "unsupported key" in done.stderr
    assert f"refuses the unit of {NAME}; nothing was replaced" in done.stderr
    assert _unit(tmp_path).read_text() == units.unit(CONTAINER)
    assert not [each for each in host.calls if each.startswith("systemctl")]


def test_a_container_of_another_is_not_replaced(host: Shell, tmp_path: Path) -> None:
    """Quadlet's services would replace it, as their `podman run` has --replace."""
    host.stub("podman", 'test "$1" != container || echo')
    done = host.run(_replace(CONTAINER))
    assert done.returncode != 0
    assert f"a container {NAME} is there that Quaylab has not made" in done.stderr
    assert not _unit(tmp_path).exists()


def test_a_service_that_does_not_start_is_reported_with_its_messages(host: Shell) -> None:
    host.stub("systemctl", f"{SHOW}; test $1 != restart")
    host.stub("journalctl", "echo 'no such image'")
    done = host.run(_replace(CONTAINER))
    assert done.returncode != 0
    assert "no such image" in done.stderr


@pytest.mark.parametrize(
    ("ours", "other", "message"),
    [
        (units.SERVICES, "/etc/systemd/system", f"somebody has changed {SERVICE}; take that back"),
        ("always", "no", f"somebody has changed {SERVICE}; take that back: systemctl revert"),
        (SOURCE, "/run/containers/systemd/a", f"{NAME}.container makes {SERVICE}; move it away: "),
    ],
    ids=["another service of the name", "a drop-in", "another unit of the name"],
)
def test_what_precedes_the_unit_is_no_success(
    host: Shell, ours: str, other: str, message: str
) -> None:
    host.stub("systemctl", SHOW.replace(ours, other))
    done = host.run(_replace(CONTAINER))
    assert done.returncode != 0
    assert message in done.stderr
    assert other in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert f"systemctl restart {SERVICE}" not in host.calls


def test_a_drop_in_that_the_generator_refuses_is_named(host: Shell) -> None:
    """The first dry run sees our unit alone. The lines are those of Podman 5.4."""
    said = [
        "Loading source drop-in file /etc/containers/systemd/other.container.d/a.conf",
        "Loading source drop-in file /etc/containers/systemd/container.d/b.conf",
        f"""converting "{NAME}.container": unsupported key 'Odd' in group 'Container'""",
    ]
    lines = "; ".join(f"echo {shlex.quote(each)} >&2" for each in said)
    host.stub(
        "systemctl", "test $1 != show || printf 'Restart=no\\nFragmentPath=\\nSourcePath=\\n'"
    )
    host.stub("generator", f'test "$QUADLET_UNIT_DIRS" || {{ echo [Service]; {lines}; exit 1; }}')
    done = host.run(_replace(CONTAINER))
    assert done.returncode != 0
    assert "systemctl revert" not in done.stderr
    assert "unsupported key 'Odd'" in done.stderr
    assert "/container.d/b.conf" in done.stderr
    assert "other" not in done.stderr
    assert "[Service]" not in done.stderr
    dropins = f"container.d, quaylab-.container.d or {NAME}.container.d"
    assert f"generator makes no service of {NAME}; the reason is above" in done.stderr
    assert dropins in done.stderr
    assert f"systemctl restart {SERVICE}" not in host.calls


@pytest.mark.parametrize(
    ("change", "last"),
    [
        ("start", f"systemctl restart {SERVICE}"),
        ("restart", f"systemctl restart {SERVICE}"),
        ("unpause", f"podman unpause {NAME}"),
        ("update", f"systemctl set-property --runtime {SERVICE} CPUWeight=100"),
    ],
)
def test_each_change_also_puts_the_unit_in_its_place(
    host: Shell, tmp_path: Path, change: str, last: str
) -> None:
    assert host.run(PODMAN.apply(CONTAINER, change)).returncode == 0
    assert _unit(tmp_path).read_text() == units.unit(CONTAINER)
    assert host.calls[-1] == last
    assert ("systemctl restart" in " ".join(host.calls)) is (change in ("start", "restart"))


def test_few_shares_are_a_small_weight(host: Shell) -> None:
    host.run(PODMAN.set_shares(NAME, 64))
    host.run(PODMAN.set_shares(NAME, 1024))
    assert [each.rpartition(" ")[2] for each in host.calls] == ["CPUWeight=6", "CPUWeight=100"]


def test_the_unit_goes_before_its_service_is_stopped(host: Shell, tmp_path: Path) -> None:
    """A run that is killed between the two leaves a container, which the next one removes."""
    host.run(_replace(CONTAINER))
    host.log.unlink()
    host.stub("systemctl", f'test $1 != stop || test ! -e {_unit(tmp_path)} || echo "too early"')
    done = host.run(PODMAN.remove(NAME))
    assert (done.returncode, done.stdout) == (0, "")
    assert [each.split()[1] for each in host.calls] == ["stop", "rm", "daemon-reload"]


@pytest.mark.parametrize("ours", ["c0ffee", ""], ids=["ours", "another's, or none"])
def test_only_a_container_of_ours_is_removed(host: Shell, tmp_path: Path, ours: str) -> None:
    host.run(_replace(CONTAINER))
    host.log.unlink()
    host.stub("podman", f'case $1 in ps) echo {ours} ;; *) test -n "$2" ;; esac')
    if not ours:
        _unit(tmp_path).write_text("[Container]\nImage=elsewhere/redis\n")
    assert host.run(PODMAN.remove_ours(NAME)).returncode == 0
    stopped, asked, *removed, reloaded = host.calls
    assert stopped == f"systemctl stop {SERVICE}"
    assert f"--filter label={DIGEST_LABEL}" in asked
    assert f"--filter name=^{NAME}$" in asked
    wanted = [f"podman stop {ours}", f"podman rm --force --volumes {ours}"] if ours else []
    assert removed == wanted
    assert reloaded == "systemctl daemon-reload"
    assert _unit(tmp_path).exists() is not bool(ours)


def test_the_wait_ends_early_if_the_container_keeps_exiting(host: Shell, tmp_path: Path) -> None:
    host.stub("podman", "exit 1")
    count = tmp_path / "count"
    host.stub("systemctl", f"echo x >>{count}; wc -l <{count}")
    host.stub("journalctl", "echo 'fatal: out of luck'")
    done = host.run(PODMAN.wait_until_healthy(CONTAINER, 60))
    assert done.returncode != 0
    assert f"{NAME} does not become healthy (health_timeout: 60 s); it said:" in done.stderr
    assert "fatal: out of luck" in done.stderr


def test_the_wait_ends_when_the_check_succeeds(host: Shell) -> None:
    assert host.run(PODMAN.wait_until_healthy(CONTAINER, 60)).returncode == 0
    assert host.calls[-1] == f"podman exec {NAME} sh -c {CONTAINER.health}"


# --- what is due ---


def test_another_unit_is_put_in_place_without_a_restart() -> None:
    state = engine(CONTAINER)
    assert state.change(CONTAINER) is None
    assert PODMAN.due(state, CONTAINER) == "update"
    written = WrittenFile(units.sha256(CONTAINER), 0)
    files = {**state.files, units.path(NAME): written}
    assert PODMAN.due(dataclasses.replace(state, files=files), CONTAINER) is None


def test_another_specification_replaces_the_container() -> None:
    assert PODMAN.due(engine(CONTAINER, digest="another"), CONTAINER) == "replace"


# --- volumes and images ---


def test_a_data_directory_gets_its_selinux_type_once(host: Shell) -> None:
    volume = Volume("quay", "quaylab-q", "/srv/a.b", 1001, {}, setting="s", purpose="p")
    for name in ("selinuxenabled", "semanage", "restorecon"):
        host.stub(name, ":")
    assert host.run(PODMAN.create_volume(volume)).returncode == 0
    assert (
        "semanage fcontext --add --type container_file_t /srv/a\\.b/quaylab\\-q(/.*)?" in host.calls
    )
    assert host.calls[-2:] == [
        "restorecon -R /srv/a.b/quaylab-q",
        "podman volume create --opt=type=none --opt=o=bind --opt=device=/srv/a.b/quaylab-q "
        "quaylab-q",
    ]
    host.stub("selinuxenabled", "exit 1")
    host.log.unlink()
    host.run(PODMAN.create_volume(volume))
    assert [each.split()[0] for each in host.calls] == ["selinuxenabled", "podman"]


def test_a_removed_directorys_selinux_rule_goes_with_it(host: Shell) -> None:
    for name in ("selinuxenabled", "semanage"):
        host.stub(name, ":")
    host.run(PODMAN.remove_volume("quaylab-q", "/srv/quaylab-q"))
    assert host.calls[-2:] == [
        "semanage fcontext --delete /srv/quaylab\\-q(/.*)?",
        "podman volume rm quaylab-q",
    ]
    # Somebody may have removed the rule; without a directory there is none.
    host.stub("semanage", "exit 1")
    removed = PODMAN.remove_volume("quaylab-q", "/srv/quaylab-q")
    assert host.run(removed).returncode == 0
    host.log.unlink()
    host.run(PODMAN.remove_volume("quaylab-q"))
    assert host.calls == ["podman volume rm quaylab-q"]


def test_loaded_images_get_the_names_that_docker_gives_them(host: Shell) -> None:
    loaded = ("localhost/quaylab/redis:8", "localhost/redis:8", "quay.io/sclorg/redis:8")
    lines = "; ".join(f"echo 'Loaded image: {name}'" for name in loaded)
    host.stub("podman", f"test $1 != load || {{ {lines}; }}")
    assert host.run(PODMAN.load("$own")).returncode == 0
    assert host.calls[-2:] == [
        "podman tag localhost/quaylab/redis:8 docker.io/quaylab/redis:8",
        "podman tag localhost/redis:8 docker.io/library/redis:8",
    ]
    host.stub("podman", "exit 125")
    assert host.run(PODMAN.load("$own")).returncode == 125


def test_images_have_full_names(host: Shell, tmp_path: Path) -> None:
    host.run(PODMAN.pull("redis:8", "root"))
    host.run(PODMAN.has_image("quaylab/redis:8-0"))
    host.run(PODMAN.run_once("once", (Mount("v", "/v"),), "quaylab/quay:1", "migrate"))
    pull, inspect, run = host.calls
    assert pull == "podman pull --quiet docker.io/library/redis:8"
    assert inspect == "podman image inspect docker.io/quaylab/redis:8-0"
    assert run.endswith("--volume=v:/v docker.io/quaylab/quay:1 migrate")


def test_a_build_starts_from_images_with_full_names(host: Shell, tmp_path: Path) -> None:
    archive = tmp_path / "context.tar"
    (tmp_path / "Dockerfile").write_text("FROM base")
    host.run(f"tar -C {tmp_path} -cf {archive} Dockerfile")
    host.stub("podman", 'for folder; do :; done; test -e "$folder/Dockerfile"')
    arguments = {"BASE": "quaylab/base:1", "QUAY_VERSION": "v3.18.0"}
    assert host.run(PODMAN.build("quaylab/quay:1", arguments, str(archive))).returncode == 0
    (call,) = host.calls
    assert "--build-arg=BASE=docker.io/quaylab/base:1 --build-arg=QUAY_VERSION=v3.18.0" in call
    assert "--tag docker.io/quaylab/quay:1" in call
    assert "--layers=false" in call


def test_an_image_that_is_there_is_not_built_again(host: Shell, tmp_path: Path) -> None:
    host.run(f"{PODMAN.has_image('a:1')} || {PODMAN.build('a:1', {}, '/nowhere.tar')}")
    assert host.calls == ["podman image inspect docker.io/library/a:1"]


def test_a_failed_build_fails(host: Shell, tmp_path: Path) -> None:
    archive = tmp_path / "context.tar"
    host.run(f"tar -cf {archive} --files-from /dev/null")
    host.stub("podman", "exit 1")
    assert host.run(PODMAN.build("quaylab/quay:1", {}, str(archive))).returncode == 1


def test_the_bases_script_calls_podman(host: Shell, tmp_path: Path) -> None:
    script = tmp_path / "build"
    script.write_text('command -v docker >/dev/null && docker import "base.tar" "$1"')
    assert host.run(PODMAN.build_base("quaylab/base:1", str(script))).returncode == 0
    assert host.calls == ["podman import base.tar docker.io/quaylab/base:1"]


def test_images_of_a_host_by_their_short_names(host: Shell, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("sha256:1")
    found = 'shift 4; for name; do echo "sha256:1 $name"; done'
    host.stub("podman", found)
    pairs = f"set -- redis:8 {tmp_path}/note quay.io/q/quay:1 /none; "
    assert host.lines(pairs + PODMAN.image_report) == [
        "redis:8|sha256:1 docker.io/library/redis:8|sha256:1",
        "quay.io/q/quay:1|sha256:1 quay.io/q/quay:1|",
    ]


def test_a_name_is_given_back_in_full() -> None:
    """Podman would make a short one localhost's."""
    assert (
        PODMAN.tag_command("sha256:1", "redis:7") == "podman tag sha256:1 docker.io/library/redis:7"
    )

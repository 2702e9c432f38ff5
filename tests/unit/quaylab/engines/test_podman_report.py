"""What Podman and systemd say, read as Docker would say it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from operations.engines.containers import interruption, is_running
from quaylab.engines import PODMAN, podman_report, units
from quaylab.engines.podman_report import report
from quaylab.engines.state import Engine, EngineState, FoundVolume
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL
from tests.unit.quaylab.test_model import CONTAINER
from tests.unit.shell import Shell

AARDVARK = "/usr/lib/podman/aardvark-dns"
INFO: dict[str, Any] = {
    "host": {
        "networkBackend": "netavark",
        "networkBackendInfo": {"dns": {"path": AARDVARK, "version": "aardvark-dns 1.14.0"}},
        "security": {"rootless": False},
    },
    "store": {"graphRoot": "/var/lib/containers/storage"},
}
# As netavark says it; CNI says nothing.
NO_AARDVARK = {"dns": {"package": "Unknown", "path": AARDVARK}}


def _host(**changes: Any) -> dict[str, Any]:
    return {**INFO, "host": {**INFO["host"], **changes}}


def _report(*lines: str, info: dict[str, Any] | None = None, version: str = "5.4.2") -> Engine:
    found = report(
        [
            f"version podman version {version}",
            f"info {json.dumps(INFO if info is None else info)}",
            *lines,
        ]
    )
    assert found
    return found


def test_an_able_podman() -> None:
    found = _report("filesystem ext2/ext3", "quadlet")
    assert found == Engine("5.4.2", "/var/lib/containers/storage", None)


def test_an_able_podman_of_rhel_8() -> None:
    names = {"backend": "cni", "dns": {"path": "/usr/libexec/cni/dnsname"}}
    info = _host(networkBackend="cni", networkBackendInfo=names)
    assert _report("filesystem xfs", "quadlet", info=info, version="4.9.4-rhel").unsupported is None


def test_no_podman() -> None:
    assert report([]) is None


@pytest.mark.parametrize(
    ("lines", "info", "version", "reason"),
    [
        (["quadlet"], INFO, "4.3.1", "Podman 4.3.1, and 4.9 or newer is needed"),
        (["quadlet"], INFO, "4.0.2", "dnf module reset container-tools"),
        ([], INFO, "5.4.2", "without Quadlet"),
        (["quadlet"], _host(networkBackendInfo=NO_AARDVARK), "5.4.2", "without aardvark-dns"),
        (
            ["quadlet"],
            _host(networkBackend="cni", networkBackendInfo={"backend": "cni", "dns": {}}),
            "4.9.4",
            "without podman-plugins",
        ),
        (["quadlet"], _host(security={"rootless": True}), "5.4.2", "rootless, so clients'"),
        (["quadlet", "filesystem nfs"], INFO, "5.4.2", "keeping its storage on NFS"),
    ],
    ids=[
        "too old",
        "another stream of RHEL 8",
        "no Quadlet",
        "no names",
        "no names on RHEL 8",
        "rootless",
        "NFS",
    ],
)
def test_a_podman_that_is_refused(
    lines: list[str], info: dict[str, Any], version: str, reason: str
) -> None:
    found = _report(*lines, info=info, version=version)
    assert found.unsupported
    assert reason in found.unsupported


def test_all_reasons_are_told_at_once() -> None:
    found = _report("filesystem nfs", info=_host(security={"rootless": True}))
    assert found.unsupported
    for reason in ("rootless", "without Quadlet", "on NFS"):
        assert reason in found.unsupported


def test_a_podman_that_can_not_work_tells_why(shell: Shell) -> None:
    """As without crun."""
    shell.stub(
        "podman",
        "case $1 in --version) echo podman version 5.4.2 ;; *) echo 'Error: default OCI runtime "
        '"crun" not found: invalid argument\' >&2; exit 125 ;; esac',
    )
    found = report(shell.lines(podman_report.INFO))
    assert found and found.unsupported
    assert found.version is None
    assert 'default OCI runtime "crun" not found' in found.unsupported


def test_a_podman_that_warns(shell: Shell) -> None:
    """As of cgroup v1, or of its old database."""
    info = json.dumps(INFO, separators=(",", ":"))
    shell.stub(
        "podman",
        "case $1 in --version) echo podman version 5.4.2 ;; "
        "*) echo 'level=warning msg=\"Using cgroups-v1\"' >&2; "
        f"echo '{info}'; echo 'level=warning' >&2 ;; esac",
    )
    found = report(shell.lines(podman_report.INFO))
    assert found
    assert (found.version, found.root_directory) == ("5.4.2", "/var/lib/containers/storage")


def test_a_podman_that_can_not_even_tell_its_version(shell: Shell) -> None:
    """As with a containers.conf that it can't read."""
    shell.stub("podman", "echo 'Error: containers.conf: toml: line 1' >&2; exit 125")
    found = report(shell.lines(podman_report.INFO))
    assert found and found.unsupported
    assert "not able to work: Error: containers.conf: toml: line 1" in found.unsupported


def test_a_podman_that_hangs_is_asked_once(shell: Shell) -> None:
    shell.stub("podman", "test $1 = --version && echo podman version 5.4.2 || exec sleep 20")
    asked = podman_report.INFO.replace("timeout 60", "timeout 1") + podman_report.OBJECTS
    found = report(shell.lines(f"({asked})"))
    assert found and found.unsupported
    assert found.version is None
    assert "at a standstill: it gives no answer within 60 s" in found.unsupported
    assert [each.split()[1] for each in shell.calls] == ["--version", "info"]


# --- objects ---

HASH = "0" * 64
ITEM: dict[str, Any] = {
    "Id": "c0ffee",
    "Name": CONTAINER.name,
    "Image": HASH,
    "ImageName": CONTAINER.image,
    "State": {
        "Status": "running",
        "StartedAt": "2026-11-27T06:00:01.5+01:00",
        "Health": {"Status": "healthy"},
    },
    "Config": {
        "Env": ["WORKER_COUNT=2", "PATH=/bin", "container=podman", "HOME=/", "HOSTNAME=c0ffee"],
        "Cmd": list(CONTAINER.command),
        "Labels": {
            DIGEST_LABEL: CONTAINER.digest,
            "PODMAN_SYSTEMD_UNIT": f"{CONTAINER.name}.service",
        },
    },
    "HostConfig": {
        "RestartPolicy": {"Name": "no"},
        "PortBindings": {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": "6380"}]},
    },
    "NetworkSettings": {"Networks": {"quaylab": {"NetworkID": "n1"}}},
    "Mounts": [
        {"Type": "bind", "Source": "/etc/quaylab/redis", "Destination": "/etc/quaylab"},
        {"Type": "volume", "Name": "data", "Source": "/x/_data", "Destination": "/data"},
    ],
}
NETWORK = {
    "name": "quaylab",
    "id": "n1",
    "network_interface": "podman1",
    "internal": False,
}
IMAGE = {
    "Id": HASH,
    "RepoTags": [CONTAINER.image],
    "RepoDigests": [f"{CONTAINER.image}@sha256:1"],
    "Config": {"Env": ["PATH=/bin"]},
}
KEPT = (
    "LoadState=loaded ActiveState=active NeedDaemonReload=no CPUWeight=[not set] "
    f"FragmentPath={units.service_path(CONTAINER.name)} Restart=always IsSource=yes"
)
# In which the container was started.
STARTED = 1795755601.5


def _lines(
    item: dict[str, Any] | None = None,
    unit: str | None = KEPT,
    written: bool = True,
    edited: float | None = None,
) -> list[str]:
    lines = [
        f"named {CONTAINER.name}|{CONTAINER.digest}|owner",
        *(f"object {json.dumps(each)}" for each in (NETWORK, item or ITEM, IMAGE)),
        *(f"file 0 {sha256}  {path}" for path, sha256 in CONTAINER.files),
    ]
    if unit is not None:
        lines.append(f"unit {CONTAINER.name}|{CONTAINER.digest}|owner|{edited or ''}|{unit}")
        if written:
            lines.append(f"file 0 {units.sha256(CONTAINER)}  {units.path(CONTAINER.name)}")
    return lines


def _state(*arguments: Any, **keywords: Any) -> EngineState:
    return PODMAN.parse_objects(_lines(*arguments, **keywords)).state


def test_a_container_that_runs_as_specified_needs_nothing() -> None:
    state = _state()
    assert PODMAN.due(state, CONTAINER) is None
    found = state.containers[CONTAINER.name]
    assert found.environment == {"WORKER_COUNT": "2", "PATH": "/bin"}
    assert found.started == STARTED
    assert not found.image_was_retagged


@pytest.mark.parametrize(
    "unit",
    [
        KEPT.replace("loaded", "masked"),
        KEPT.replace("NeedDaemonReload=no", "NeedDaemonReload=yes"),
        KEPT.replace("loaded", "not-found"),
        KEPT.replace("[not set]", "6"),
        KEPT.replace(units.SERVICES, "/etc/systemd/system"),
        KEPT.replace("always", "no"),
        KEPT.replace("IsSource=yes", ""),
        "",
        None,
    ],
    ids=[
        "masked",
        "not read",
        "not found",
        "low weight",
        "another service of the name",
        "not started again",
        "another unit of the name",
        "no answer of systemd",
        "no unit",
    ],
)
def test_a_unit_is_repaired_without_a_restart(unit: str | None) -> None:
    assert PODMAN.due(_state(unit=unit), CONTAINER) == "update"


@pytest.mark.parametrize(
    ("edited", "change"),
    [(STARTED + 1, "update"), (STARTED - 1, "replace")],
    ids=["since", "before"],
)
def test_an_edited_unit_is_written_again(edited: float, change: str) -> None:
    """A container that was started since then may be another one than specified. It runs, and is
    ours, so its clients are cared for before it is stopped."""
    state = _state(written=False, edited=edited)
    assert PODMAN.due(state, CONTAINER) == change
    assert is_running(state, CONTAINER)
    assert interruption(state, CONTAINER, change) == ("replaced" if change == "replace" else None)


def test_a_unit_that_an_earlier_quaylab_wrote_restarts_nothing() -> None:
    assert PODMAN.due(_state(written=False), CONTAINER) == "update"


def test_a_normal_weight_is_no_change() -> None:
    assert PODMAN.due(_state(unit=KEPT.replace("[not set]", "100")), CONTAINER) is None


def test_a_container_without_a_unit_is_replaced() -> None:
    """Somebody ran it by hand: it would not be there after a reboot."""
    config = {**ITEM["Config"], "Labels": {DIGEST_LABEL: CONTAINER.digest}}
    state = _state({**ITEM, "Config": config})
    assert PODMAN.due(state, CONTAINER) == "replace"
    assert interruption(state, CONTAINER, "replace") == "replaced"


def test_a_container_of_others_is_never_ours() -> None:
    """Its unit may be ours: somebody has stopped that, and taken the name."""
    lines = [each for each in _lines() if not each.startswith(("named", "object"))]
    found = PODMAN.parse_objects([*lines, f"named {CONTAINER.name}||"])
    assert found.container_labels == {CONTAINER.name: {}}
    assert CONTAINER.name not in found.state.containers


@pytest.mark.parametrize("status", ["exited", "stopping", "created"])
def test_a_container_that_does_not_run_is_started(status: str) -> None:
    item = {**ITEM, "State": {**ITEM["State"], "Status": status}}
    assert PODMAN.due(_state(item), CONTAINER) == "start"


@pytest.mark.parametrize(
    ("status", "held"),
    [("initialized", {6380}), ("stopping", {6380}), ("created", set()), ("exited", set())],
)
def test_the_ports_that_a_container_holds(status: str, held: set[int]) -> None:
    """A killed run may leave one that is stopped for seconds."""
    binding = {"6379/tcp": [{"HostIp": "", "HostPort": "6380"}]}
    host = {**ITEM["HostConfig"], "PortBindings": binding}
    item = {**ITEM, "HostConfig": host, "State": {**ITEM["State"], "Status": status}}
    assert PODMAN.parse_objects(_lines(item)).published == held


def test_a_stopped_unit_counts_as_a_container_that_does_not_run() -> None:
    lines = [line for line in _lines() if not line.startswith(("named", "object"))]
    found = PODMAN.parse_objects(lines)
    assert found.state.containers[CONTAINER.name].state == "exited"
    assert PODMAN.due(found.state, CONTAINER) == "replace"
    assert found.container_labels[CONTAINER.name] == {
        DIGEST_LABEL: CONTAINER.digest,
        CREDENTIALS_LABEL: "owner",
    }


def test_a_unit_of_others_has_no_labels_of_ours() -> None:
    found = PODMAN.parse_objects([f"unit quaylab-mirror||||{KEPT}"])
    assert found.container_labels == {"quaylab-mirror": {}}
    assert found.state.containers == {}, "so a teardown leaves it where it is"


def test_a_container_without_a_health_check() -> None:
    item = {**ITEM, "State": {**ITEM["State"], "Health": {"Status": "", "Log": None}}}
    assert _state(item).containers[CONTAINER.name].health is None


def test_before_5_4_podman_gives_a_networks_name_as_its_id() -> None:
    settings = {"Networks": {"quaylab": {"NetworkID": "quaylab"}}}
    assert PODMAN.due(_state({**ITEM, "NetworkSettings": settings}), CONTAINER) is None


def test_a_container_off_the_network_is_replaced() -> None:
    assert PODMAN.due(_state({**ITEM, "NetworkSettings": {}}), CONTAINER) == "replace"


def test_a_port_at_all_addresses() -> None:
    binding = {"6379/tcp": [{"HostIp": "", "HostPort": "6380"}]}
    item = {**ITEM, "HostConfig": {**ITEM["HostConfig"], "PortBindings": binding}}
    assert _state(item).containers[CONTAINER.name].ports == {"0.0.0.0:6380:6379"}


def test_what_the_administrator_gives_to_containers_is_no_difference() -> None:
    """By `env` in containers.conf, or by Environment= and PublishPort= in a drop-in of Quadlet."""
    variables = [*ITEM["Config"]["Env"], "TZ=Europe/Berlin"]
    more = {"9121/tcp": [{"HostIp": "", "HostPort": "9121"}]}
    host = {"PortBindings": {**ITEM["HostConfig"]["PortBindings"], **more}}
    item = {**ITEM, "Config": {**ITEM["Config"], "Env": variables}, "HostConfig": host}
    assert PODMAN.due(_state(item), CONTAINER) is None


@pytest.mark.parametrize(
    "variables",
    [["WORKER_COUNT=3", "PATH=/bin", "TZ=UTC"], ["PATH=/bin", "TZ=UTC"]],
    ids=["another value", "missing"],
)
def test_a_container_has_at_least_what_is_specified(variables: list[str]) -> None:
    item = {**ITEM, "Config": {**ITEM["Config"], "Env": variables}}
    assert PODMAN.due(_state(item), CONTAINER) == "replace"


def test_a_missing_port_replaces_the_container() -> None:
    assert PODMAN.due(_state({**ITEM, "HostConfig": {}}), CONTAINER) == "replace"


def test_another_image_of_the_name_is_noticed() -> None:
    assert PODMAN.due(_state({**ITEM, "Image": "1" * 64}), CONTAINER) == "replace"


def test_a_host_without_a_folder_for_units(shell: Shell, tmp_path: Path) -> None:
    shell.stub("podman", ":")
    assert PODMAN.parse_objects(
        shell.lines(podman_report.OBJECTS.replace(units.FOLDER, f"{tmp_path}/no"))
    )


def test_a_unit_that_a_power_cut_left_empty_is_written_again(shell: Shell, tmp_path: Path) -> None:
    """It has no labels, so it would count as another's."""
    (tmp_path / f"{CONTAINER.name}.container").touch()
    shell.stub("podman", ":")
    shell.stub("systemctl", f"printf '%s\\n' {KEPT}")
    found = PODMAN.parse_objects(
        shell.lines(podman_report.OBJECTS.replace(units.FOLDER, str(tmp_path)))
    )
    assert found.container_labels == {}
    assert PODMAN.due(found.state, CONTAINER) == "replace"


UNIT = units.unit(CONTAINER)
PRIVILEGED = UNIT.replace("Pull=never", "Pull=never\nUser=0")


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (UNIT, "update"),
        (PRIVILEGED, "replace"),
        (PRIVILEGED.partition(units.CHECKSUM)[0], "replace"),
    ],
    ids=["as it was written", "edited", "edited and without its checksum"],
)
def test_a_host_sees_whether_its_unit_was_edited(
    shell: Shell, tmp_path: Path, text: str, change: str
) -> None:
    path = tmp_path / f"{CONTAINER.name}.container"
    path.write_text(text)
    os.utime(path, (STARTED - 1, STARTED - 1))
    shell.stub("podman", ":")
    shell.stub("systemctl", f"printf '%s\\n' {KEPT.replace('[not set]', '100')}")
    command = podman_report.OBJECTS.replace(units.FOLDER, str(tmp_path))
    lines = [line for line in shell.lines(command) if line.startswith("unit ")]
    state = PODMAN.parse_objects([*_lines(unit=None, written=False), *lines]).state
    assert PODMAN.due(state, CONTAINER) == change


@pytest.mark.parametrize("folder", ["link", "another"])
def test_a_host_sees_whether_another_unit_precedes(
    shell: Shell, tmp_path: Path, folder: str
) -> None:
    """Quadlet follows a folder that is a symbolic link, and tells where that leads."""
    for made in ("units", "another"):
        (tmp_path / made).mkdir()
        (tmp_path / made / f"{CONTAINER.name}.container").write_text(units.unit(CONTAINER))
    (tmp_path / "link").symlink_to(tmp_path / "units")
    source = f"SourcePath={tmp_path / folder}/{CONTAINER.name}.container"
    shown = KEPT.replace("[not set]", "100").replace("IsSource=yes", source)
    shell.stub("podman", ":")
    shell.stub("systemctl", f"printf '%s\\n' {shown}")
    command = podman_report.OBJECTS.replace(units.FOLDER, str(tmp_path / "units"))
    lines = [line for line in shell.lines(command) if line.startswith("unit ")]
    written = f"file 0 {units.sha256(CONTAINER)}  {units.path(CONTAINER.name)}"
    state = PODMAN.parse_objects([*_lines(unit=None), written, *lines]).state
    assert PODMAN.due(state, CONTAINER) == (None if folder == "link" else "update")


def test_a_hosts_volumes_and_units(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    volume = {"Name": "quaylab-database", "Mountpoint": f"{tmp_path}/data", "Labels": {"a": "b"}}
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / f"{CONTAINER.name}.container").write_text(units.unit(CONTAINER))
    shell.stub(
        "podman",
        f"""case "$1 $2" in
"volume ls") echo quaylab-database ;;
"volume inspect") echo '{json.dumps(volume, separators=(",", ":"))}' ;;
esac""",
    )
    shell.stub("systemctl", f"printf '%s\\n' {KEPT.replace('[not set]', '100')}")
    command = podman_report.OBJECTS.replace(units.FOLDER, str(tmp_path / "units"))
    found = PODMAN.parse_objects(shell.lines(command))
    assert found.volumes == (FoundVolume("quaylab-database", {"a": "b"}),)
    assert found.container_labels == {
        CONTAINER.name: {
            DIGEST_LABEL: CONTAINER.digest,
            CREDENTIALS_LABEL: CONTAINER.owner,
        }
    }
    assert any(path.endswith(f"{CONTAINER.name}.container") for path in found.state.files)

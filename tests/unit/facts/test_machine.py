"""What a host reports of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.machine import EngineInfo, Machine
from quaylab.engines.state import Engine
from quaylab.engines.state import FoundVolume as Volume
from quaylab.hosts import machine
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL
from quaylab.paths import DATABASE_NOTE, REGISTRY_NOTE, SCHEMA_NOTE, STORAGE_NOTE
from tests.unit.shell import Shell

BARE = """\
uid 0
os debian|13|
arch x86_64
cpus 2
memory_kb 24684084
address 192.0.2.2
""".splitlines()
DOCKER = """\
engine docker
client /usr/bin/docker
info {"ServerVersion":"26.1.5+dfsg1","DockerRootDir":"/var/lib/docker",\
"SecurityOptions":["name=seccomp,profile=builtin"],"LiveRestoreEnabled":true,\
"HttpProxy":"","HttpsProxy":"http://proxy:3128","NoProxy":"localhost"}
object {"Name":"quaylab-database","Mountpoint":"/var/lib/docker/volumes/quaylab-database/_data",\
"Labels":{"io.quaylab.data":"postgresql-17","io.quaylab.path":""},"Options":null}
""".splitlines()


def _process(*lines: str) -> machine.Machine:
    return Machine().process([*BARE, *lines])


def test_bare_host() -> None:
    found = _process()
    assert (found.uid, found.os_id, found.os_version, found.os_like) == (0, "debian", "13", ())
    assert (found.architecture, found.cpus, found.memory_mb) == ("x86_64", 2, 24105)
    assert found.addresses == ("192.0.2.2",)
    assert (found.systemd, found.engine, found.volumes) == (False, None, ())


@pytest.mark.parametrize(("value", "fips"), [("1", True), ("0", False), ("", False)])
def test_a_kernel_in_fips_mode(value: str, fips: bool) -> None:
    assert _process(f"fips {value}").fips is fips


def test_host_with_an_engine_and_data() -> None:
    found = _process("systemd yes", *DOCKER)
    assert found.systemd
    assert found.engine == Engine(
        "26.1.5+dfsg1",
        "/var/lib/docker",
        None,
        ("", "http://proxy:3128", "localhost"),
        live_restore=True,
    )
    assert EngineInfo().process(DOCKER[1:3]) == found.engine
    (volume,) = found.volumes
    assert volume.name == "quaylab-database"
    assert volume.labels["io.quaylab.data"] == "postgresql-17"


def test_podmans_shim_fails_in_the_middle_of_its_answer(shell: Shell) -> None:
    """As that of 5.4.2 does: it has no ServerVersion."""
    shell.stub(
        "docker",
        """case $1 in
--version) echo podman version 5.4.2 ;;
info) printf '{"ServerVersion":'; exit 125 ;;
esac""",
    )
    engines = Machine().process(shell.lines(Machine().command())).engines
    docker = engines["docker"].engine
    assert docker and docker.unsupported
    assert docker.unsupported.startswith("Podman's shim")


VOLUMES = r"""
case "$*" in
  "ps "*) echo 'named quaylab-redis|digest|owner'; echo 'named quaylab-mirror||' ;;
  "volume ls"*) printf 'quaylab-database\nquaylab-quay-storage\nquaylab-ceph\n' ;;
  "volume inspect"*) cat <<'END'
{"Name":"quaylab-database","Mountpoint":"ROOT","Labels":{"a":"b"},"Options":null}
{"Name":"quaylab-quay-storage","Mountpoint":"/x","Labels":{"a":"b"},"Options":{"device":"ROOT/blobs"}}
{"Name":"quaylab-ceph","Mountpoint":"/x","Labels":null,"Options":{"device":"ROOT/absent/quaylab-ceph"}}
END
  ;;
esac
"""


def test_a_volumes_directory_is_checked_for_data(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    shell.stub("docker", VOLUMES.replace("ROOT", str(tmp_path)))
    found = Machine().process(shell.lines(Machine().command()))
    assert found.volumes == (
        Volume("quaylab-database", {"a": "b"}),
        Volume("quaylab-quay-storage", {"a": "b"}, f"{tmp_path}/blobs", empty=True),
        Volume("quaylab-ceph", {}, f"{tmp_path}/absent/quaylab-ceph", missing=True, empty=True),
    )
    assert found.containers == {
        "quaylab-redis": {DIGEST_LABEL: "digest", CREDENTIALS_LABEL: "owner"},
        "quaylab-mirror": {},
    }


def test_only_the_labels_of_other_containers_are_read(shell: Shell) -> None:
    """Their environment may have secrets, and -vvv prints the output."""
    shell.stub("docker", VOLUMES)
    shell.lines(Machine().command())
    (inspected,) = [call for call in shell.calls if call.startswith("docker inspect ")]
    assert inspected.split()[-2:] == ["quaylab", "quaylab-redis"]


def test_engine_that_does_not_run() -> None:
    lines = [line for line in DOCKER if not line.startswith(("info", "object"))]
    assert _process(*lines, "info ").engine == Engine(None, None, None)


def test_engine_that_hangs(shell: Shell) -> None:
    """It accepts requests and never answers, as when its storage is gone."""
    shell.stub("docker", "exec sleep 20")
    engine = (
        Machine()
        .process(shell.lines(Machine().command().replace("timeout 60", "timeout 1")))
        .engine
    )
    assert engine and engine.unsupported
    assert "gives no answer within 60 s" in engine.unsupported
    assert [call.split()[1] for call in shell.calls if call.startswith("docker ")] == ["info"]


def test_related_systems_and_several_addresses() -> None:
    found = Machine().process(
        [
            *(line for line in BARE if not line.startswith("os ")),
            "os rocky|9.4|rhel centos fedora",
            "address 10.0.0.1",
        ]
    )
    assert found.os_like == ("rhel", "centos", "fedora")
    assert found.addresses == ("192.0.2.2", "10.0.0.1")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["client /usr/bin/podman", "version podman version 5.4.2"], "Podman's shim"),
        (["client /usr/bin/docker", "version podman version 4.9.4"], "Podman's shim"),
        (["client /snap/bin/docker", "version Docker version 27.2.0"], "a snap"),
        (
            [
                "client /usr/bin/docker",
                "version Docker version 27.2.0",
                'info {"DockerRootDir":"/var/snap/docker/common/var-lib-docker"}',
            ],
            "a snap",
        ),
        (
            [
                "client /usr/bin/docker",
                "version Docker version 27.2.0",
                'info {"SecurityOptions":["name=seccomp,profile=builtin","name=rootless"]}',
            ],
            "rootless",
        ),
    ],
    ids=["podman-docker", "alias", "snap", "snap's directory", "rootless"],
)
def test_unsupported_engine(lines: list[str], reason: str) -> None:
    engine = _process("engine docker", *lines).engine
    assert engine and engine.unsupported
    assert engine.unsupported.startswith(reason)


@pytest.mark.parametrize("lines", [[""], ["uid 0"], ["Welcome!"]])
def test_other_output_is_an_error(lines: list[str]) -> None:
    with pytest.raises(FactProcessError, match="the host's report can't be read"):
        Machine().process(lines)


def test_this_machine(shell: Shell) -> None:
    shell.stub(
        "ip",
        "echo '2: eth0    inet 192.0.2.7/24 scope global eth0'\n"
        "echo '3: br-lan    inet 192.0.2.8/24 scope global br-lan'\n"
        "echo '4: docker0    inet 172.17.0.1/16 scope global docker0'\n"
        "echo '5: cni-podman1    inet 10.89.0.1/24 scope global cni-podman1'",
    )
    shell.stub("docker", "case $1 in --version) echo 'Docker version 27' ;; *) exit 1 ;; esac")
    found = Machine().process(shell.lines(Machine().command()))
    assert found.cpus > 0
    assert found.memory_mb > 0
    assert found.addresses == ("192.0.2.7",)
    assert found.own_addresses == {"192.0.2.7", "192.0.2.8", "172.17.0.1", "10.89.0.1"}
    assert found.cgroup_v2 is Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert found.engine == Engine(None, None, None)


CONTAINER = """\
{"Id":"c0ffee","Name":"/quaylab-quay","Image":"sha256:1","Mounts":[],\
"State":{"Status":"restarting","StartedAt":"2026-11-24T14:29:31Z"},\
"HostConfig":{"RestartPolicy":{"Name":"always"},"PortBindings":{\
"8443/tcp":[{"HostIp":"0.0.0.0","HostPort":"443"}],"8080/tcp":[{"HostIp":"","HostPort":"80"}]}},\
"Config":{"Image":"quay:1","Labels":{"io.quaylab.version":"v3.16.5"}},\
"NetworkSettings":{"Networks":{}}}"""
ENGINE = f"""
case "$*" in
  "ps "*) echo 'named quaylab-quay|digest|owner' ;;
  "inspect "*quaylab-quay) echo '{CONTAINER}' ;;
esac
"""


@pytest.mark.parametrize(
    ("active", "rule", "denies"),
    [
        (True, "allow perm=open exe=/usr/bin/rpm : all", True),
        (True, "# allow perm=any uid=0 : dir=/var/lib/ceph/", True),
        (True, "allow perm=any uid=0 : dir=/var/lib/ceph/", False),
        (True, "/var/lib/ceph/0-0/cephadm.1 157984 61a9960b", False),
        (False, "", False),
    ],
    ids=["no word", "a comment", "a rule", "a trusted file", "not active"],
)
def test_fapolicyd_denies_cephadm(
    shell: Shell, tmp_path: Path, active: bool, rule: str, denies: bool
) -> None:
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "35-some.rules").write_text(f"{rule}\n")
    shell.stub("systemctl", f"exit {0 if active else 3}")
    command = Machine().command().replace("/etc/fapolicyd", str(tmp_path))
    assert Machine().process(shell.lines(command)).denies_cephadm is denies


def test_ports_of_a_container_that_keeps_exiting_are_ours(shell: Shell) -> None:
    """`docker ps` shows no ports while the container waits for its next start."""
    shell.stub("docker", ENGINE)
    assert Machine().process(shell.lines(Machine().command())).published == {80, 443}


def test_a_port_counts_as_taken_if_both_samples_have_it() -> None:
    """A killed run may still be starting or stopping a container."""
    listening = ["before 01BB", "before 0050", "after 0050", "after 1F90"]
    assert _process(*listening).listening == {80}


@pytest.mark.parametrize(
    ("note", "schema"),
    [
        (b"v3.18.0\n", "v3.18.0"),
        (b"\n", None),
        (None, "v3.16.5"),
        (b"", "v3.16.5"),
        (b"v3\xff\xc3\n", "v3??"),
    ],
    ids=["note", "empty note", "the container's label", "emptied by a power cut", "not a text"],
)
def test_schema(shell: Shell, tmp_path: Path, note: bytes | None, schema: str | None) -> None:
    shell.stub("docker", ENGINE)
    path = tmp_path / "schema"
    if note is not None:
        path.write_bytes(note)
    command = Machine().command()
    assert SCHEMA_NOTE in command
    found = Machine().process(shell.lines(command.replace(SCHEMA_NOTE, str(path))))
    assert found.schema == schema
    # Without a note, or with one that a power cut has emptied, there is no time.
    assert found.schema_time == (path.stat().st_mtime // 1 if note else 0)


def test_note_of_the_blobs() -> None:
    note = "0123456789abcdef-01234567 default s3 s3.example.com:443/quay-storage/blobs"
    assert _process(f"storage {note}").storage == note
    assert _process("storage ").storage is None
    assert STORAGE_NOTE in Machine().command()


def test_note_of_the_database() -> None:
    assert _process("database own quay quay").database == "own quay quay"
    assert _process("database ").database is None
    assert DATABASE_NOTE in Machine().command()


def test_note_of_the_registry() -> None:
    assert _process("registry f quay.example.com lab").registry == "f quay.example.com lab"
    assert _process("registry ").registry is None
    assert REGISTRY_NOTE in Machine().command()


def test_clusters_of_cephadm() -> None:
    found = _process("ceph 11111111-2222-3333-4444-555555555555", "bootstrapped_cluster ")
    assert found.ceph == {"11111111-2222-3333-4444-555555555555"}
    assert found.bootstrapped_cluster is None
    assert _process("bootstrapped_cluster 1-2").bootstrapped_cluster == "1-2"
    assert found.ceph_configuration is None
    assert _process("ceph_configuration 1-2").ceph_configuration == "1-2"


def test_size_of_osds_on_a_single_host(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "cluster"
    path.write_text("FSID=1-2\nOSD_SIZE=30G\nDEVICES=('')\n")
    found = shell.lines(Machine().command().replace("/etc/quaylab/ceph/cluster", str(path)))
    assert "ceph_osd_size_gb 30" in found
    assert _process("ceph_osd_size_gb 30").ceph_osd_size_gb == 30
    assert _process().ceph_osd_size_gb is None


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (None, []),
        ("[global]\n\tfsid = 1-2-3\n\tmon_host = [v2:10.0.0.1:3300/0]\n", ["1-2-3"]),
        ("[global]\nmon_host = ceph.example.com\n", ["without fsid"]),
    ],
    ids=["none", "by cephadm", "of a client"],
)
def test_the_cluster_of_etc_ceph(
    shell: Shell, tmp_path: Path, content: str | None, lines: list[str]
) -> None:
    path = tmp_path / "ceph.conf"
    if content:
        path.write_text(content)
    found = shell.lines(Machine().command().replace("/etc/ceph/ceph.conf", str(path)))
    assert [line for line in found if line.startswith("ceph_configuration")] == [
        f"ceph_configuration {line}" for line in lines
    ]

"""What a host reports of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.machine import COMMAND, Machine
from quaylab.checks.blob_location import NOTE
from quaylab.checks.ownership import NOTE as REGISTRY
from quaylab.hosts import machine
from quaylab.hosts.machine import Engine, Volume
from quaylab.upgrade.schema_version import SCHEMA
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
docker /usr/bin/docker
cli Docker version 26.1.5+dfsg1, build a72d7cd
info {"ServerVersion":"26.1.5+dfsg1",    "Driver":"overlay2","DockerRootDir":"/var/lib/docker",\
    "SecurityOptions":["name=seccomp,profile=builtin"]}
volume quaylab-database {"io.quaylab.data":"postgresql-17","io.quaylab.path":""}
""".splitlines()


def _process(*lines: str) -> machine.Machine:
    return Machine().process([*BARE, *lines])


def test_bare_host() -> None:
    found = _process()
    assert (found.uid, found.os_id, found.os_version, found.os_like) == (0, "debian", "13", ())
    assert (found.architecture, found.cpus, found.memory_mb) == ("x86_64", 2, 24105)
    assert found.addresses == ("192.0.2.2",)
    assert (found.systemd, found.engine, found.volumes) == (False, None, ())


def test_host_with_an_engine_and_data() -> None:
    found = _process("systemd yes", *DOCKER)
    assert found.systemd
    assert found.engine == Engine("26.1.5+dfsg1", "overlay2", "/var/lib/docker", None)
    (volume,) = found.volumes
    assert volume.name == "quaylab-database"
    assert volume.labels["io.quaylab.data"] == "postgresql-17"


VOLUMES = r"""
case "$*" in
  "volume ls"*) printf 'quaylab-database\nquaylab-quay-storage\nquaylab-ceph\n' ;;
  "volume inspect --format volume"*quaylab-ceph) echo 'volume quaylab-ceph null' ;;
  "volume inspect --format volume"*) shift 4; printf 'volume %s {"a":"b"}\n' "$1" ;;
  "volume inspect --format {{with"*quaylab-ceph) echo ROOT/absent/quaylab-ceph ;;
  "volume inspect --format {{with"*quaylab-quay-storage) echo ROOT/blobs ;;
  "volume inspect --format {{.Mountpoint}} quaylab-database") echo ROOT ;;
  "ps --all --quiet --filter name=^quaylab-") printf '1\n2\n' ;;
  "inspect --format container"*1) echo 'container /quaylab-redis {"c":"d"}' ;;
  "inspect --format container"*2) echo 'container /quaylab-mirror null' ;;
esac
"""


def test_data_is_looked_for_where_it_is(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    shell.stub("docker", VOLUMES.replace("ROOT", str(tmp_path)))
    found = Machine().process(shell.lines(COMMAND))
    assert found.volumes == (
        Volume("quaylab-database", {"a": "b"}),
        Volume("quaylab-quay-storage", {"a": "b"}, f"{tmp_path}/blobs", empty=True),
        Volume("quaylab-ceph", {}, f"{tmp_path}/absent/quaylab-ceph", missing=True, empty=True),
    )
    assert found.containers == {"quaylab-redis": {"c": "d"}, "quaylab-mirror": {}}


def test_engine_that_does_not_run() -> None:
    lines = [line for line in DOCKER if not line.startswith(("info", "volume"))]
    assert _process(*lines, "info ").engine == Engine(None, None, None, None)


def test_engine_that_hangs(shell: Shell) -> None:
    """It takes each question and answers none, as one does whose storage has gone away."""
    shell.stub("docker", "exec sleep 20")
    engine = Machine().process(shell.lines(COMMAND.replace("timeout 60", "timeout 1"))).engine
    assert engine and engine.unsupported
    assert "gives no answer within 60 s" in engine.unsupported
    assert [call.split()[1] for call in shell.calls if call.startswith("docker ")] == ["info"]


def test_kin_and_several_addresses() -> None:
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
        (["docker /usr/bin/podman", "cli podman version 5.4.2"], "Podman's shim"),
        (["docker /usr/bin/docker", "cli podman version 4.9.4"], "Podman's shim"),
        (["docker /snap/bin/docker", "cli Docker version 27.2.0"], "a snap"),
        (
            [
                "docker /usr/bin/docker",
                "cli Docker version 27.2.0",
                'info {"DockerRootDir":"/var/snap/docker/common/var-lib-docker"}',
            ],
            "a snap",
        ),
        (
            [
                "docker /usr/bin/docker",
                "cli Docker version 27.2.0",
                'info {"SecurityOptions":["name=seccomp,profile=builtin","name=rootless"]}',
            ],
            "rootless",
        ),
    ],
    ids=["podman-docker", "alias", "snap", "snap's directory", "rootless"],
)
def test_unsupported_engine(lines: list[str], reason: str) -> None:
    engine = _process(*lines).engine
    assert engine and engine.unsupported
    assert engine.unsupported.startswith(reason)


@pytest.mark.parametrize("lines", [[""], ["uid 0"], ["Welcome!"]])
def test_what_is_no_report_is_an_error(lines: list[str]) -> None:
    with pytest.raises(FactProcessError, match="the host's report can't be read"):
        Machine().process(lines)


def test_this_machine(shell: Shell) -> None:
    shell.stub(
        "ip",
        "echo '2: eth0    inet 192.0.2.7/24 scope global eth0'\n"
        "echo '3: br-lan    inet 192.0.2.8/24 scope global br-lan'\n"
        "echo '4: docker0    inet 172.17.0.1/16 scope global docker0'",
    )
    shell.stub("docker", "case $1 in --version) echo 'Docker version 27' ;; *) exit 1 ;; esac")
    found = Machine().process(shell.lines(COMMAND))
    assert found.cpus > 0
    assert found.memory_mb > 0
    assert found.addresses == ("192.0.2.7",)
    assert found.own_addresses == {"192.0.2.7", "192.0.2.8", "172.17.0.1"}
    assert found.engine == Engine(None, None, None, None)


def test_ports_of_a_container_that_keeps_exiting_are_ours(shell: Shell) -> None:
    """`docker ps` shows none for it while it waits for its next start."""
    shell.stub(
        "docker",
        'case "$*" in\n'
        "  'ps --quiet --filter name=^quaylab-') echo c0ffee ;;\n"
        "  'inspect --format '*c0ffee) printf 'published 443\\npublished 80\\n\\n' ;;\n"
        "esac",
    )
    assert Machine().process(shell.lines(COMMAND)).published == {80, 443}


@pytest.mark.parametrize(
    ("note", "schema"),
    [
        (b"v3.18.0\n", "v3.18.0"),
        (b"\n", None),
        (None, "v3.16.5"),
        (b"", "v3.16.5"),
        (b"v3\xff\xc3\n", "v3??"),
    ],
    ids=["noted", "not known", "the container's label", "emptied by a power cut", "not a text"],
)
def test_schema(shell: Shell, tmp_path: Path, note: bytes | None, schema: str | None) -> None:
    shell.stub("docker", 'case "$*" in *quaylab-quay) echo v3.16.5 ;; esac')
    path = tmp_path / "schema"
    if note is not None:
        path.write_bytes(note)
    assert SCHEMA in COMMAND
    assert Machine().process(shell.lines(COMMAND.replace(SCHEMA, str(path)))).schema == schema


def test_note_of_the_blobs() -> None:
    note = "0123456789abcdef-01234567 default s3 s3.example.com:443/quay-storage/blobs"
    assert _process(f"storage {note}").storage == note
    assert _process("storage ").storage is None
    assert NOTE in COMMAND


def test_note_of_the_registry() -> None:
    assert _process("registry f quay.example.com lab").registry == "f quay.example.com lab"
    assert _process("registry ").registry is None
    assert REGISTRY in COMMAND


def test_clusters_of_cephadm() -> None:
    found = _process("ceph 11111111-2222-3333-4444-555555555555", "ceph_made ")
    assert found.ceph == {"11111111-2222-3333-4444-555555555555"}
    assert found.ceph_made is None
    assert _process("ceph_made 1-2").ceph_made == "1-2"

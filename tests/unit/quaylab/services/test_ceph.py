"""Ceph: its files, its container, its place in the plan, and Quay's user."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from pydantic import SecretStr

from quaylab.engines import DOCKER, units
from quaylab.model import CREDENTIALS_LABEL, DATA_LABEL
from quaylab.paths import SCRIPTS
from quaylab.problems import Refusal
from quaylab.scripts import ceph_report
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials
from quaylab.services import BY_NAME, ceph
from quaylab.services.base import Workload
from quaylab.topology import Topology
from tests.unit.samples import (
    CREDENTIALS,
    build,
    certified,
    context,
    host,
    machine,
    settings,
    with_storage_keys,
    with_swift_password,
    workload,
)

ADDRESS = "192.168.254.20"

RUN_CEPH = SCRIPTS / "run-ceph"


def _where(*, hosts: int = 1, **changes: Any) -> Topology:
    lab = [host("quay.example.com", address="192.168.254.10")]
    for number in range(hosts):
        lab.append(host(f"ceph{number}", ["ceph"], address=f"192.168.254.{20 + number}"))
    return build(lab, **changes)


def _credentials() -> Credentials:
    made = with_swift_password(with_storage_keys(certified()))
    return certificates.with_ceph_certificate(made, "quay.example.com", [ADDRESS])


def _workload(credentials: Credentials | None = None, **changes: Any) -> Workload:
    where, credentials = _where(**changes), credentials or _credentials()
    return workload("ceph", "ceph0", where=where, credentials=credentials, **changes)


def _file(workload: Workload, name: str) -> str:
    return next(file.content for file in workload.files if file.path.endswith(f"/{name}"))


def test_only_root_may_read_the_files() -> None:
    assert {(file.uid, file.mode) for file in _workload().files} == {(0, 0o400)}


def test_no_secret_is_in_the_command_line() -> None:
    credentials = _credentials()
    line = " ".join(DOCKER.run_arguments(_workload(credentials).container))
    secrets = [value for _, value in credentials if isinstance(value, SecretStr)]
    assert not [each for each in secrets if each.get_secret_value() in line]


def test_gateway_listens_where_quay_looks_for_it() -> None:
    where, found = _where(), _workload()
    assert where.object_store is not None
    assert where.object_store.url == f"https://{ADDRESS}:7480"
    assert [str(port) for port in found.container.ports] == [f"{ADDRESS}:7480:7480"]


def test_gateway_without_tls_has_no_certificate() -> None:
    found = _workload(storage_tls=False)
    assert "port=7480\n" in _file(found, "ceph.conf")
    assert "ssl_port" not in _file(found, "ceph.conf")
    assert not [file.path for file in found.files if "tls" in file.path]


def test_monitor_has_a_fixed_address_in_its_container() -> None:
    found = _workload()
    assert "mon_host = [v2:127.0.0.1:3300" in _file(found, "ceph.conf")
    assert "ADDRESS=127.0.0.1\n" in _file(found, "cluster")


def test_cluster_is_the_same_for_the_same_credentials() -> None:
    assert ceph.cluster_id(CREDENTIALS) == ceph.cluster_id(_credentials())
    other = CREDENTIALS.model_copy(update={"identity": "another"})
    assert ceph.cluster_id(other) != ceph.cluster_id(CREDENTIALS)


def test_memory_is_bounded() -> None:
    found = _workload(ceph_osd_memory_mb=2048)
    assert f"osd_memory_target = {2 * 1024**3}" in _file(found, "ceph.conf")


@pytest.mark.parametrize("source", ["packages", "registry"])
def test_podmans_seccomp_profile_is_not_for_debians_ceph(source: str) -> None:
    """The digest, which both engines share, does not tell."""
    found = _workload(image_source=source).container
    assert found.seccomp_unconfined is (source == "packages")
    assert ("seccomp=unconfined" in units.unit(found)) is (source == "packages")
    assert "seccomp" not in DOCKER.run(found)
    assert dataclasses.replace(found, seccomp_unconfined=False).digest == found.digest


def test_podman_limits_cephs_tasks_no_more_than_docker() -> None:
    found = _workload().container
    assert '"--pids-limit=-1"' in units.unit(found)
    assert "pids" not in DOCKER.run(found)
    assert dataclasses.replace(found, unlimited_tasks=False).digest == found.digest


def test_osds_are_block_devices_files_or_one_in_the_volume(tmp_path: Path) -> None:
    assert "DEVICES=('')" in _file(_workload(), "cluster")
    found = _workload(ceph_osd_devices=("/dev/ceph/a", "/srv/osd"))
    assert "DEVICES=(/dev/ceph/a /srv/osd)" in _file(found, "cluster")
    arguments = DOCKER.run_arguments(found.container)
    assert "--device=/dev/ceph/a" in arguments
    assert "--volume=/srv/osd:/srv/osd:z" in arguments
    assert "--privileged" not in arguments


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_script_and_its_variables_are_bash(tmp_path: Path) -> None:
    (tmp_path / "cluster").write_text(
        _file(_workload(ceph_osd_devices=("/dev/a", "/b")), "cluster")
    )
    done = subprocess.run(
        ["bash", "-c", f". {tmp_path}/cluster && echo ${{#DEVICES[@]}} $OSD_SIZE"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 20G\n"


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(RUN_CEPH, "run-ceph")
    return packed.getvalue()


RANDOM = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(200))
# A DOS partition table with one partition of 1 MiB, without a file system.
PARTITIONED = bytes(450) + b"\x83" + bytes(3) + bytes([0, 8, 0, 0] * 2) + bytes(48) + b"\x55\xaa"


@pytest.mark.skipif(shutil.which("blkid") is None, reason="needs blkid")
def _run_functions(*functions: str, then: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash after some functions of run-ceph."""
    chosen = "; ".join(f"/^{name}()/,/^}}/p" for name in ("fail", "require_empty", *functions))
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; . <(sed -n '{chosen}' {RUN_CEPH}); {then}"],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ""),
        (PARTITIONED, "holds data already (blkid says"),
        (b"bluestore block device\n", "holds data already (blkid says"),
        (b"a letter\n", "the first 4096 bytes are not zero"),
        (RANDOM, "the first 4096 bytes are not zero"),
        (_archive(), "the first 4096 bytes are not zero"),
        (None, "can't be read"),
    ],
    ids=["empty", "partitioned", "another OSD", "text", "random", "tar", "not there"],
)
def test_only_an_empty_device_is_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    device = tmp_path / "device"
    if content is not None:
        device.write_bytes(content.ljust(4 * 1024**2, b"\0"))
    done = _run_functions(then=f"require_empty {device}")
    assert (done.returncode == 0) == (not message), done.stderr
    assert message in done.stderr
    subprocess.run(["bash", "-n", str(RUN_CEPH)], check=True)


# A label has the size that the OSD had when it was made or extended.
TOOL = """ceph-bluestore-tool() {
    [[ $1 != show-label ]] || { echo "\\"bfm_size\\": \\"$(<$data/known)\\","; return; }
    [[ $* == "bluefs-bdev-expand --path $data" && $expands ]] || return 1
    stat -L -c %s $data/block >$data/known
    echo extended
}"""


def _make_osd(
    state: Path, device: Path | None, mkfs: str, size: str = "1G", expands: str = "yes"
) -> subprocess.CompletedProcess[str]:
    """Run run-ceph's make_osd with Ceph's commands replaced; ``mkfs`` is bash."""
    path = device or ""
    return _run_functions(
        "has_label", "require_same", "grow_osd", "make_osd",
        then=f"state={state}; OSD_SIZE={size}; expands={expands}; chown() {{ :; }}; {TOOL}; "
        "install() { mkdir -p ${!#}; }; ceph() { [[ $2 != new ]] || echo 0; }; "
        "ceph-osd() { uuid=$(<$data/uuid); stat -L -c %s $data/block >$data/known; "
        f'{mkfs}; }}; make_osd 0 "{path}"',
    )  # fmt: skip


def _device(path: Path, content: bytes = b"") -> Path:
    path.write_bytes(content.ljust(1024**2, b"\0"))
    return path


WRITE_LABEL = 'printf "bluestore block device\\n$uuid\\n" | dd of=$data/block conv=notrunc'


@pytest.mark.skipif(shutil.which("blkid") is None, reason="needs blkid")
def test_another_device_after_a_failed_try_has_to_be_empty_too(tmp_path: Path) -> None:
    first, used = _device(tmp_path / "first"), _device(tmp_path / "used", b"a letter")
    assert _make_osd(tmp_path, first, "false").returncode != 0
    done = _make_osd(tmp_path, used, WRITE_LABEL)
    assert f"{used} holds data already" in done.stderr
    assert used.read_bytes().startswith(b"a letter")
    done = _make_osd(tmp_path, _device(tmp_path / "third"), WRITE_LABEL)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "osd-0/block").readlink() == tmp_path / "third"


@pytest.mark.skipif(shutil.which("blkid") is None, reason="needs blkid")
def test_a_killed_mkfs_is_gone_on_with_and_a_disk_of_the_same_name_is_not_taken(
    tmp_path: Path,
) -> None:
    device = _device(tmp_path / "device")
    assert _make_osd(tmp_path, device, f"{WRITE_LABEL}; return 1").returncode != 0
    other = device.rename(tmp_path / "other")
    _device(device, b"a letter")
    assert f"{device} holds data already" in _make_osd(tmp_path, device, "false").stderr
    other.rename(device)
    done = _make_osd(tmp_path, device, "true")
    assert done.returncode == 0, done.stderr


def test_an_osd_in_the_volume_does_not_follow_the_link_to_a_device(tmp_path: Path) -> None:
    device = _device(tmp_path / "device")
    assert _make_osd(tmp_path, device, "false").returncode != 0
    done = _make_osd(tmp_path, None, "true")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "osd-0/block").stat().st_size == 1024**3
    assert device.stat().st_size == 1024**2


VOLUME = "a file in the volume"


@pytest.mark.skipif(shutil.which("blkid") is None, reason="needs blkid")
@pytest.mark.parametrize(
    ("before", "after"), [(None, "new"), ("old", None), ("old", "new")], ids=str
)
def test_an_osd_is_not_sought_in_another_device_than_it_was_made_in(
    tmp_path: Path, before: str | None, after: str | None
) -> None:
    old, new = (_device(tmp_path / each) if each else None for each in (before, after))
    assert _make_osd(tmp_path, old, WRITE_LABEL).returncode == 0
    assert _make_osd(tmp_path, old, "false").returncode == 0, "it is made once"
    done = _make_osd(tmp_path, new, "false")
    assert done.returncode == 1
    assert f"OSD 0 was made in {old or VOLUME}, and the settings have {new or 'no device'}" in (
        done.stderr
    )
    assert new is None or not new.read_bytes().strip(b"\0")


@pytest.mark.parametrize("in_volume", [True, False], ids=["in the volume", "on the host"])
def test_an_osd_in_a_file_grows_and_never_shrinks(tmp_path: Path, in_volume: bool) -> None:
    device = None if in_volume else _device(tmp_path / "device")
    label, block = tmp_path / "osd-0/known", tmp_path / "osd-0/block"
    assert _make_osd(tmp_path, device, WRITE_LABEL).returncode == 0
    for size, gib, extended in [("2G", 2, True), ("2G", 2, False), ("1G", 2, False)]:
        done = _make_osd(tmp_path, device, "false", size)
        assert (done.returncode, "extended" in done.stdout) == (0, extended), done.stderr
        assert int(label.read_text()) == block.stat().st_size == gib * 1024**3


def test_a_growth_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    assert _make_osd(tmp_path, None, "true").returncode == 0
    failed = _make_osd(tmp_path, None, "false", "2G", expands="")
    assert failed.returncode == 1 and "OSD 0 can't be extended" in failed.stderr
    assert "extended" in _make_osd(tmp_path, None, "false", "2G").stdout


@pytest.mark.parametrize(
    ("devices", "before", "refused"),
    [
        ((), 21, True),
        (("/srv/osd", "/dev/ceph/a"), 21, True),
        (("/dev/ceph/a",), 21, False),
        ((), 20, False),
        ((), 19, False),
        ((), None, False),
    ],
)
def test_an_osd_that_would_shrink_is_refused(
    devices: tuple[str, ...], before: int | None, refused: bool
) -> None:
    run = dataclasses.replace(
        context(_where(ceph_osd_devices=devices), _credentials(), ceph_osd_devices=devices),
        machines={"ceph0": machine(ceph_osd_size_gb=before)},
    )
    problems = [*BY_NAME["ceph"].problems(run)]
    assert len(problems) == refused
    assert all(
        "ceph_osd_size_gb: 20, but the OSDs on ceph0 have 21 GB" in each for each in problems
    )


@pytest.mark.parametrize(("devices", "refused"), [("/dev/a /dev/b", False), ("/dev/a", True)])
def test_no_osd_is_left_out(tmp_path: Path, devices: str, refused: bool) -> None:
    for number, name in enumerate("ab"):
        (tmp_path / f"osd-{number}").mkdir()
        (tmp_path / f"osd-{number}" / "block").symlink_to(f"/dev/{name}")
        (tmp_path / f"osd-{number}" / "ready").touch()
    done = _run_functions("require_all", then=f"state={tmp_path}; DEVICES=({devices}); require_all")
    assert done.returncode == refused
    assert ("OSD 1 was made in /dev/b, and the settings have no device" in done.stderr) is refused


@pytest.mark.skipif(shutil.which("blkid") is None, reason="needs blkid")
def test_a_device_that_has_another_name_meanwhile_has_the_same_osd(tmp_path: Path) -> None:
    assert _make_osd(tmp_path, _device(tmp_path / "old"), WRITE_LABEL).returncode == 0
    device = (tmp_path / "old").rename(tmp_path / "new")
    done = _make_osd(tmp_path, device, "false")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "osd-0/block").readlink() == device


def test_volume_is_labelled_with_its_owner() -> None:
    volume = _workload(ceph_data="/srv/ceph").volume
    assert volume is not None
    assert (volume.name, volume.path) == ("quaylab-ceph", "/srv/ceph")
    assert volume.labels[DATA_LABEL] == "ceph"
    assert volume.labels[CREDENTIALS_LABEL] == CREDENTIALS.fingerprint


def test_quay_trusts_the_labs_ca_and_needs_no_volume() -> None:
    credentials = _credentials()
    quay = workload("quay", where=_where(), credentials=credentials)
    assert _file(quay, "extra_ca_certs/lab.crt") == credentials.ca_certificate
    assert quay.volume is None
    config = yaml.safe_load(_file(quay, "config.yaml"))
    ((driver, arguments),) = config["DISTRIBUTED_STORAGE_CONFIG"].values()
    assert driver == "RadosGWStorage"
    assert (arguments["hostname"], arguments["port"], arguments["is_secure"]) == (
        ADDRESS,
        7480,
        True,
    )


# --- certificate ---


def test_certificate_is_by_the_labs_ca_for_the_address() -> None:
    credentials = _credentials()
    assert credentials.ceph_certificate is not None
    assert credentials.ca_certificate == certified().ca_certificate or credentials.ca_key
    leaf = x509.load_pem_x509_certificate(credentials.ceph_certificate.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == [ADDRESS]
    assert (
        certificates.with_ceph_certificate(credentials, "quay.example.com", [ADDRESS])
        == credentials
    )


@pytest.mark.parametrize(
    ("changes", "addresses"),
    [
        ({}, [ADDRESS, "192.168.254.21"]),
        ({"ceph_certificate": None}, [ADDRESS]),
        ({"ca_key": None, "ceph_certificate": None}, [ADDRESS]),
    ],
    ids=["another address", "none yet", "a lost CA"],
)
def test_certificate_is_issued_again(changes: dict[str, Any], addresses: list[str]) -> None:
    before = _credentials().model_copy(update=changes)
    after = certificates.with_ceph_certificate(before, "quay.example.com", addresses)
    assert after.ceph_certificate != before.ceph_certificate
    assert after.ceph_certificate and after.ca_certificate
    leaf = x509.load_pem_x509_certificate(after.ceph_certificate.encode())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(after.ca_certificate.encode()))


@pytest.mark.parametrize("data", [{"address": "FD00::20"}, {"ssh_hostname": "fd00:0:0::20"}])
def test_certificate_for_an_ipv6_address_is_issued_once(data: dict[str, str]) -> None:
    """However the address is written: the certificate tells it in its canonical form."""
    where = build([host("quay.example.com", address="fd00::10"), host("ceph0", ["ceph"], **data)])
    made = BY_NAME["ceph"].with_keys(_credentials(), settings(), where)
    assert made != _credentials()
    assert BY_NAME["ceph"].with_keys(made, settings(), where) == made


# --- user ---


def test_user_has_the_keys_of_the_credentials() -> None:
    credentials = _credentials()
    user = ceph.user(settings(), credentials)
    assert credentials.storage_access_key and credentials.storage_secret_key
    assert user["keys"][0]["secret_key"] == credentials.storage_secret_key.get_secret_value()
    assert user["swift_keys"] == user["subusers"] == []
    assert not user["user_quota"]["enabled"]
    assert json.loads(ceph.metadata(user))["key"] == "user:quay"


def test_quota_and_swift_follow_the_settings() -> None:
    user = ceph.user(settings(ceph_quota_gb=3, ceph_swift=True), _credentials())
    assert user["user_quota"]["max_size"] == 3 * 1024**3
    assert user["swift_keys"][0]["user"] == user["subusers"][0]["id"] == "quay:swift"


@pytest.mark.parametrize(
    "changes", [{"ceph_quota_gb": 3}, {"ceph_swift": True}, {}], ids=["quota", "swift", "keys"]
)
def test_digest_differs_for_a_changed_user(changes: dict[str, Any]) -> None:
    credentials = _credentials()
    before = ceph_report.digest(ceph.user(settings(), credentials))
    if not changes:
        update = {"storage_secret_key": SecretStr("another")}
        credentials = credentials.model_copy(update=update)
    assert ceph_report.digest(ceph.user(settings(**changes), credentials)) != before


@pytest.mark.parametrize("kind", ["keys", "swift_keys"])
def test_keys_are_active(kind: str) -> None:
    """Squid makes an inactive key of one that doesn't say so; older releases don't tell."""
    user = ceph.user(settings(ceph_swift=True), _credentials())
    (key,) = user[kind]
    assert key["active"] is True
    silent = {name: value for name, value in key.items() if name != "active"}
    digest = ceph_report.digest(user)
    assert ceph_report.digest({**user, kind: [silent]}) == digest
    assert ceph_report.digest({**user, kind: [{**key, "active": False}]}) != digest


def test_digest_has_no_key_and_ignores_other_fields() -> None:
    user = ceph.user(settings(), _credentials())
    later = {**user, "max_buckets": 5, "keys": [{**user["keys"][0], "create_date": "2026-01-01"}]}
    assert ceph_report.digest(later) == ceph_report.digest(user)
    assert user["keys"][0]["secret_key"] not in ceph_report.digest(user)


# --- topology ---


@pytest.mark.parametrize(
    ("hosts", "changes", "message"),
    [
        (2, {}, "ceph: 2 hosts in group `ceph`"),
        (1, {"storage": "local"}, "storage: local, but group `ceph` has ceph0"),
        (1, {"storage_host": "s3.example.com"}, "storage_host: s3.example.com runs elsewhere"),
    ],
)
def test_impossible_combinations_are_refused(
    hosts: int, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refusal, match=message):
        _where(hosts=hosts, **changes)


def test_ceph_hosts_need_an_engine() -> None:
    assert _where().engine_hosts() == ("ceph0", "quay.example.com")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ceph_osd_devices", ("/dev/sdb",)),
        ("ceph_data", "/srv/ceph"),
        ("ceph_quota_gb", 5),
        ("ceph_swift", True),
    ],
)
def test_a_setting_without_a_host(key: str, value: object) -> None:
    def problems(*hosts: str) -> list[str]:
        return list(BY_NAME["ceph"].setting_problems(settings(**{key: value}), {"ceph": hosts}))

    assert problems() == [f"{key}: no host is in group `ceph`; put one there, or leave it out"]
    assert problems("ceph.example.com") == []

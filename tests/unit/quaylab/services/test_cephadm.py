"""Specifications for cephadm, and their comparison with what the cluster reports."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab import plan
from quaylab.checks import blob_location
from quaylab.engines.state import Engine, FoundVolume
from quaylab.hosts.machine import EngineReport, Machine
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL
from quaylab.problems import Refusal
from quaylab.scripts.ceph_report import CERTIFICATE, memory, service
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials, Store
from quaylab.services import BY_NAME, ceph, cephadm
from quaylab.topology import Topology
from tests.unit.samples import (
    build,
    certified,
    context,
    host,
    machine,
    settings,
    with_storage_keys,
)

NAMES = ("ceph0", "ceph1", "ceph2")


def _where(**changes: Any) -> Topology:
    hosts = [host(name, ["ceph"], address=f"192.168.254.2{name[-1]}") for name in NAMES]
    return build([host("quay.example.com", address="192.168.254.10"), *hosts], **changes)


def _machines(**changes: Any) -> dict[str, Machine]:
    return {name: machine(hostname=name, **changes) for name in NAMES}


def _credentials() -> Credentials:
    made, where = cephadm.with_ssh_key(with_storage_keys(certified())), _where()
    addresses = [where.addresses[host] for host in where.hosts["ceph"]]
    return certificates.with_ceph_certificate(made, "quay.example.com", addresses)


def _specifications(credentials: Credentials | None = None, **changes: Any) -> list[dict[str, Any]]:
    credentials = credentials or _credentials()
    return cephadm.specifications(settings(**changes), _where(**changes), credentials, _machines())


def _problems(machines: dict[str, Machine], **changes: Any) -> list[str]:
    run = context(_where(**changes), _credentials(), **changes)
    run = dataclasses.replace(run, machines=machines)
    return [*BY_NAME["ceph"].problems(run)]


def _reported(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the specifications as Ceph exports them."""
    found = []
    for each in copy.deepcopy(wanted):
        if each["service_type"] == "host":
            found.append({**each, "labels": [], "status": ""})
        else:
            found.append({**service(each), "service_name": each["service_type"]})
    return found


def test_gateway_has_the_labs_certificate_and_quays_port() -> None:
    credentials = _credentials()
    (gateway,) = [each for each in _specifications(credentials) if each["service_type"] == "rgw"]
    assert gateway["spec"]["rgw_frontend_port"] == 7480
    assert credentials.ceph_certificate is not None
    assert gateway["spec"][CERTIFICATE].endswith(credentials.ceph_certificate)
    (plain,) = [
        each for each in _specifications(storage_tls=False) if each["service_type"] == "rgw"
    ]
    assert plain["spec"] == {"rgw_frontend_port": 7480}


@pytest.mark.parametrize(
    ("devices", "wanted"),
    [((), {"all": True}), (("/dev/sdb", "/dev/sdc"), {"paths": ["/dev/sdb", "/dev/sdc"]})],
)
def test_osds_use_the_given_devices(devices: tuple[str, ...], wanted: object) -> None:
    (osd,) = [
        each for each in _specifications(ceph_osd_devices=devices) if each["service_type"] == "osd"
    ]
    assert osd["spec"]["data_devices"] == wanted


def test_each_specification_is_a_yaml_document() -> None:
    wanted = _specifications()
    assert list(yaml.safe_load_all(cephadm.render(wanted))) == wanted


def test_an_applied_specification_is_not_applied_again() -> None:
    wanted = _specifications(ceph_osd_devices=("/dev/sdb",))
    assert cephadm.names_to_apply(wanted, _reported(wanted)) == []
    found = _reported(wanted)
    (osd,) = [each for each in found if each.get("service_type") == "osd"]
    osd["spec"]["data_devices"]["paths"] = [{"path": "/dev/sdb"}]
    assert cephadm.names_to_apply(wanted, found) == []


def test_everything_is_due_at_first() -> None:
    assert cephadm.names_to_apply(_specifications(), []) == [
        "host.ceph0",
        "host.ceph1",
        "host.ceph2",
        "mon",
        "mgr",
        "osd.quaylab",
        "rgw.quaylab",
    ]


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({"storage_port": 8443}, ["rgw.quaylab"]),
        ({"ceph_osd_devices": ("/dev/sdz",)}, ["osd.quaylab"]),
    ],
)
def test_a_change_is_due(changes: dict[str, Any], due: list[str]) -> None:
    credentials = _credentials()
    before = _reported(_specifications(credentials))
    assert cephadm.names_to_apply(_specifications(credentials, **changes), before) == due


def test_another_certificate_is_due_and_no_key_is_reported() -> None:
    before = _reported(_specifications())
    assert "PRIVATE KEY" not in str(before)
    assert cephadm.names_to_apply(_specifications(), before) == ["rgw.quaylab"]


def test_manager_logs_in_with_the_key_of_the_credentials() -> None:
    credentials = _credentials()
    assert cephadm.with_ssh_key(credentials) == credentials
    assert cephadm.public_key(credentials).startswith("ssh-ed25519 ")
    files = cephadm.files(settings(), credentials)
    assert {(file.uid, file.mode) for file in files} == {(0, 0o400)}


def test_bootstrap_has_no_secret_in_it() -> None:
    credentials = _credentials()
    command = cephadm.bootstrap(settings(), ceph.cluster_id(credentials), "192.168.254.20")
    assert credentials.ceph_ssh_key is not None
    assert credentials.ceph_ssh_key.get_secret_value() not in " ".join(command)
    assert ceph.cluster_id(credentials) in command


@pytest.mark.parametrize("source", ["registry", "archive"])
def test_images_without_a_registry_have_no_digest(source: str) -> None:
    conf = cephadm.files(settings(image_source=source), _credentials())[0].content
    assert ("use_repo_digest = false" in conf) == (source == "archive")


GIVEN = ("osd", "osd_memory_target", str(2048 * 1024**2))
OFF = ("osd", "osd_memory_target_autotune", "false")
TUNED = ("osd/host:ceph0", "osd_memory_target", "22548578304")


@pytest.mark.parametrize(
    ("found", "commands"),
    [
        ([GIVEN, OFF], []),
        # Somebody's own: with autotuning the manager would have replaced it.
        ([GIVEN, OFF, TUNED], []),
        ([], [("set", *GIVEN), ("set", *OFF)]),
        ([GIVEN, (*OFF[:2], "true")], [("set", *OFF)]),
        ([(*GIVEN[:2], "1"), OFF], [("set", *GIVEN)]),
        (
            [TUNED, (*OFF[:2], "true")],
            [("rm", *TUNED[:2]), ("set", *GIVEN), ("set", *OFF)],
        ),
    ],
    ids=["set", "of one host", "new", "as cephadm leaves it", "another size", "tuned"],
)
def test_memory_of_osds(found: list[tuple[str, str, str]], commands: list[tuple[str, ...]]) -> None:
    wanted = cephadm.memory_commands(settings(ceph_osd_memory_mb=2048), found)
    assert wanted == [("config", *each) for each in commands]


def test_the_options_of_memory_are_reported_alone() -> None:
    """As ``ceph config dump`` of Ceph 18.2 prints them (dump in Ceph's src/mon/ConfigMap.cc)."""
    options = [
        {"section": "osd", "name": GIVEN[1], "value": GIVEN[2], "mask": ""},
        {"section": "osd", "name": TUNED[1], "value": TUNED[2], "mask": "host:ceph0"},
        {"section": "mgr", "name": "mgr/cephadm/registry_password", "value": "x", "mask": ""},
    ]
    assert memory(options) == [[*GIVEN], [*TUNED]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_source": "packages"}, "image_source: packages"),
        ({"ceph_data": "/srv/ceph"}, "ceph_data: is for a single"),
        ({"ceph_osd_devices": ("/srv/osd",)}, "ceph_osd_devices: holds a file"),
    ],
)
def test_settings_of_one_host_are_refused(changes: dict[str, Any], message: str) -> None:
    (problem,) = _problems(_machines(), **changes)
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systemd": False}, "ceph1: runs no systemd"),
        ({"hostname": "ceph0"}, "ceph: several hosts say that their name is ceph0"),
        ({"denies_cephadm": True}, "ceph: fapolicyd on ceph1 denies the program that cephadm's"),
    ],
)
def test_unsuitable_hosts_are_refused(changes: dict[str, Any], message: str) -> None:
    machines = _machines()
    machines["ceph1"] = dataclasses.replace(machines["ceph1"], **changes)
    (problem,) = _problems(machines)
    assert problem.startswith(message)


def test_a_host_that_has_joined_allows_cephadms_program_somehow() -> None:
    fsid = ceph.cluster_id(_credentials())
    machines = _machines(denies_cephadm=True, ceph=frozenset({fsid}), bootstrapped_cluster=fsid)
    assert _problems(machines) == []


@pytest.mark.parametrize(
    ("note", "there", "refused"),
    [
        (None, {"ceph1"}, True),
        (None, {"ceph0", "ceph2"}, True),
        ("another", {"ceph1"}, True),
        ("ours", {"ceph0", "ceph1", "ceph2"}, False),
        (None, {"ceph0"}, False),
        (None, set(), False),
    ],
    ids=["another first", "a lost note", "another's note", "made", "incomplete", "new"],
)
def test_cluster_that_began_elsewhere_is_refused(
    note: str | None, there: set[str], refused: bool
) -> None:
    fsid = ceph.cluster_id(_credentials())
    machines = _machines()
    for name in there:
        machines[name] = dataclasses.replace(machines[name], ceph=frozenset({fsid}))
    made = fsid if note == "ours" else note
    machines["ceph0"] = dataclasses.replace(machines["ceph0"], bootstrapped_cluster=made)
    problems = _problems(machines)
    assert len(problems) == refused
    assert all("did not begin on ceph0" in problem for problem in problems)
    del machines["ceph0"]
    assert not _problems(machines)


OTHER = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("configuration", "refused"),
    [(None, False), ("ours", False), (OTHER, True), ("without fsid", True)],
)
def test_another_clusters_configuration_is_not_overwritten(
    configuration: str | None, refused: bool
) -> None:
    fsid = ceph.cluster_id(_credentials())
    found = fsid if configuration == "ours" else configuration
    machines = _machines(ceph_configuration=found)
    problems = _problems(machines)
    assert len(problems) == refused, "only the first host gets a configuration"
    assert all("ceph: /etc/ceph/ceph.conf on ceph0 is of another" in each for each in problems)
    machines["ceph0"] = dataclasses.replace(machines["ceph0"], bootstrapped_cluster=fsid)
    assert not _problems(machines), "it is not bootstrapped again"


def test_daemons_of_another_cluster_are_refused() -> None:
    fsid = ceph.cluster_id(_credentials())
    machines = _machines()
    machines["ceph1"] = dataclasses.replace(machines["ceph1"], ceph=frozenset({OTHER}))
    (problem,) = _problems(machines)
    assert f"ceph: ceph1 has another cluster's data, /var/lib/ceph/{OTHER}" in problem
    # Where both run already, nothing is new.
    both = {name: dataclasses.replace(each, ceph=frozenset({OTHER, fsid}),
            bootstrapped_cluster=fsid) for name, each in machines.items()}  # fmt: skip
    assert not _problems(both)


QUAY, ADDRESS = "quay.example.com", "192.168.254.20"


@pytest.mark.parametrize("has", ["container", "volume", "nothing"])
def test_a_cluster_of_one_host_does_not_become_one_of_several(tmp_path: Path, has: str) -> None:
    """A new, empty one would begin beside it, at the same address."""
    store = Store("quaylab", tmp_path)
    hosts = [host(QUAY, address="192.168.254.10")]
    hosts += [host(name, ["ceph"], address=f"192.168.254.2{name[-1]}") for name in NAMES]
    bare = {each.name: machine(hostname=each.name) for each in hosts}
    one = plan.make(hosts[:2], dict([*bare.items()][:2]), store)
    store.save(one.credentials)
    note = blob_location.note(one.settings, one.topology, one.credentials)
    volume = FoundVolume("quaylab-ceph", {CREDENTIALS_LABEL: one.credentials.fingerprint})
    found: dict[str, dict[str, Any]] = {
        "container": {"containers": {"quaylab-ceph": {DIGEST_LABEL: "digest"}}},
        "volume": {"volumes": (volume,)},
        "nothing": {},
    }
    docker = EngineReport(Engine("26.1.5", "/var/lib/docker", None), **found[has])
    served = {
        **bare,
        QUAY: machine(storage=note.content.strip()),
        "ceph0": machine(hostname="ceph0", engines={"docker": docker}),
    }
    several = plan.make(hosts, served, store)
    if has == "nothing":
        plan.refuse_unfit(several)
        return
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(several)
    (problem,) = refused.value.problems
    assert problem.startswith("ceph: ceph0 has a Ceph cluster of one host, quaylab-ceph, and that")


def test_a_cluster_of_several_hosts_does_not_become_one_of_a_single_host() -> None:
    fsid = ceph.cluster_id(_credentials())
    one = build([host(QUAY, address="192.168.254.10"), host("ceph0", ["ceph"], address=ADDRESS)])
    run = context(one, _credentials())
    bare = {"ceph0": machine(hostname="ceph0")}
    member = {"ceph0": machine(hostname="ceph0", ceph=frozenset({fsid}))}
    assert not [*BY_NAME["ceph"].problems(dataclasses.replace(run, machines=bare))]
    (problem,) = BY_NAME["ceph"].problems(dataclasses.replace(run, machines=member))
    assert problem.startswith("ceph: ceph0 is one of several hosts of this registry's Ceph")


@pytest.mark.parametrize(
    ("engine", "podman", "is_member", "refused"),
    [
        ("docker", Engine("5.4.2", None, None), False, True),
        ("docker", Engine(None, None, None), False, True),
        ("docker", None, False, False),
        ("podman", Engine("5.4.2", None, None), False, False),
        # It may have become one by another engine than the rest of the lab.
        ("docker", Engine("5.4.2", None, None), True, False),
    ],
    ids=["both", "Podman does not answer", "Docker alone", "Podman", "a member"],
)
def test_cephadm_would_use_podman_beside_docker(
    engine: str, podman: Engine | None, is_member: bool, refused: bool
) -> None:
    fsid = ceph.cluster_id(_credentials())
    machines = _machines(
        engines={"podman": EngineReport(podman)},
        container_engine=engine,
        ceph=frozenset({fsid}) if is_member else frozenset(),
        bootstrapped_cluster=fsid if is_member else None,
    )
    problems = _problems(machines)
    assert len(problems) == 3 * refused
    assert all("container_engine: docker, but Podman is" in problem for problem in problems)


@pytest.mark.parametrize(
    ("tag", "running", "upgrades"),
    [
        (":v18.2.7", "18.2.7", False),
        (":v18.2.7-20251001", "18.2.7", False),
        (":v18", "18.2.7", False),
        (":latest", "18.2.7", False),
        ("@sha256:1" + "0" * 63, "18.2.7", False),
        (":v19.2.3", "18.2.7, 19.2.3", False),
        (":v19.2.3", "18.2.7", True),
        (":v1", "18.2.7", True),
        (":v18.2.70", "18.2.7", True),
    ],
)
def test_another_version_in_the_image_needs_an_upgrade(
    tag: str, running: str, upgrades: bool
) -> None:
    image = f"quay.io/ceph/ceph{tag}"
    words = cephadm.upgrade_command(image, running)
    assert (words is not None) is upgrades
    assert words is None or words[-4:] == ("upgrade", "start", "--image", image)

"""A cluster of several hosts, operation by operation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyinfra.api import FunctionCommand

from facts.ceph import Ceph, Cephadm, CephadmState, CephState
from operations.runtime import waiting
from operations.services import cephadm as operations
from quaylab import plan
from quaylab.engines import DOCKER
from quaylab.paths import CEPH_NOTE, GATEWAYS_NOTE
from quaylab.plan import Plan
from quaylab.scripts.ceph_report import service
from quaylab.secrets.credentials import Store
from quaylab.services import ceph, cephadm
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import host, machine
from tests.unit.shell import Shell

NAMES = ("ceph0", "ceph1", "ceph2")
NOTHING = Cephadm.default()
DONE = CephadmState(frozenset(cephadm.PACKAGES), True, True, True, True, True)


@pytest.fixture
def lab(tmp_path: Path) -> Plan:
    hosts = [host("quay.example.com", address="192.168.254.10")]
    hosts += [host(name, ["ceph"], address=f"192.168.254.2{name[-1]}") for name in NAMES]
    machines = {each.name: machine(hostname=each.name) for each in hosts}
    return plan.make(hosts, machines, Store("quaylab", tmp_path))


def _applied(lab: Plan) -> CephState:
    wanted = cephadm.specifications(lab.settings, lab.topology, lab.credentials, lab.machines)
    daemons = {"mon": 3, "osd": 3, "rgw": 3}
    memory = [
        ("osd", "osd_memory_target", str(cephadm.osd_memory_mb(lab.settings) * 1024**2)),
        ("osd", "osd_memory_target_autotune", "false"),
    ]
    return CephState("HEALTH_OK", (), "18.2.7", daemons, {}, {}, [*map(service, wanted)], memory)


def _on(state: CephadmState, lab: Plan | None = None, name: str = "ceph0") -> FakeHost:
    return FakeHost({Cephadm: state, Ceph: _applied(lab) if lab else None}, name)


def test_new_host_gets_packages_and_key(lab: Plan) -> None:
    install, authorize = _on(NOTHING).shell(operations.prepared, plan=lab)
    assert "cephadm lvm2 chrony catatonit" in install
    assert cephadm.public_key(lab.credentials) in authorize


@pytest.mark.parametrize(
    ("before", "others"),
    [
        (None, ""),
        ("", ""),
        ("ssh-rsa AAAA admin\n", "ssh-rsa AAAA admin\n"),
        ("ssh-rsa AAAA admin", "ssh-rsa AAAA admin\n"),
    ],
    ids=["no file", "empty", "a key", "a key without a line's end"],
)
def test_key_is_added_and_removed_as_a_line_of_its_own(
    lab: Plan,
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str | None,
    others: str,
) -> None:
    keys = tmp_path / "ssh" / "authorized_keys"
    monkeypatch.setattr(operations, "AUTHORIZED_KEYS", keys)
    if before is not None:
        keys.parent.mkdir()
        keys.write_text(before)
    bare = dataclasses.replace(DONE, authorized=False)
    (authorize,) = _on(bare).shell(operations.prepared, plan=lab)
    assert shell.run(authorize).returncode == 0
    assert keys.read_text() == f"{others}{cephadm.public_key(lab.credentials)}\n"
    prepared = dataclasses.replace(NOTHING, authorized=True)
    (forget,) = _on(prepared).shell(operations.removed, plan=lab)
    assert shell.run(forget).returncode == 0
    assert keys.read_text() == others
    assert keys.stat().st_mode & 0o777 == 0o600


def test_new_cluster_is_bootstrapped_and_recorded(lab: Plan) -> None:
    (command,) = _on(NOTHING).shell(operations.bootstrapped, plan=lab)
    assert "bootstrap --fsid" in command
    assert command.endswith(f">{CEPH_NOTE}")


def test_incomplete_cluster_is_bootstrapped_again(lab: Plan) -> None:
    half = dataclasses.replace(NOTHING, begun=True)
    guard, remove, bootstrap = _on(half).shell(operations.bootstrapped, plan=lab)
    assert "exit 1" in guard
    assert "rm-cluster --force --fsid" in remove
    assert "bootstrap" in bootstrap


@pytest.mark.parametrize("daemon", ["osd.0", "mon.ceph0"])
def test_cluster_with_osds_is_never_bootstrapped_again(
    lab: Plan, shell: Shell, tmp_path: Path, daemon: str
) -> None:
    half = dataclasses.replace(NOTHING, begun=True)
    guard = _on(half).shell(operations.bootstrapped, plan=lab)[0]
    fsid = ceph.cluster_id(lab.credentials)
    (tmp_path / fsid / daemon).mkdir(parents=True)
    result = shell.run(guard.replace("/var/lib/ceph", str(tmp_path)))
    assert result.returncode == (1 if daemon == "osd.0" else 0)
    assert result.stderr.startswith("ceph: ceph0 has OSDs of this cluster") == bool(
        result.returncode
    )


@pytest.mark.parametrize("name", NAMES)
def test_stopped_daemons_are_started_on_every_host(lab: Plan, name: str) -> None:
    stopped = dataclasses.replace(DONE, running=False, made=name == "ceph0")
    (command,) = _on(stopped, name=name).shell(operations.started, plan=lab)
    assert command == f"systemctl start ceph-{ceph.cluster_id(lab.credentials)}.target"
    # The manager has left its files there, and not yet a daemon.
    bare = dataclasses.replace(stopped, installed=False)
    assert _on(bare, name=name).operate(operations.started, plan=lab) == []


@pytest.mark.parametrize(("tries", "answers"), [(1, True), (3, True), (99, False)])
def test_a_started_cluster_is_waited_for(
    lab: Plan, shell: Shell, tmp_path: Path, tries: int, answers: bool
) -> None:
    """Its monitors have to agree, and its manager to load the orchestrator."""
    (command,) = _on(DONE).shell(operations.bootstrapped, plan=lab)
    assert "ceph --connect-timeout=10 orch host ls " in command
    shell.stub("sleep", "true")
    shell.stub(
        "cephadm",
        f'case "$*" in *status) echo HEALTH_WARN;; *) echo >>{tmp_path}/asked; '
        f'test "$(wc -l <{tmp_path}/asked)" -ge {tries};; esac',
    )
    done = shell.run(command.replace("+ 300", "+ 300" if answers else "+ 0"))
    assert (done.returncode == 0) is answers
    if not answers:
        assert "HEALTH_WARN" in done.stderr
        assert "Ceph's orchestrator does not answer (health_timeout: 300 s)" in done.stderr


@pytest.mark.parametrize("name", ["osd_memory_limited", "applied", "serving", "bootstrapped"])
def test_no_command_waits_for_ever_for_monitors(lab: Plan, name: str) -> None:
    commands = " ".join(_on(DONE).shell(getattr(operations, name), plan=lab))
    asked = commands.count(" -- ceph ")
    assert asked and asked == commands.count(" -- ceph --connect-timeout=")


def test_specifications_go_through_standard_input(lab: Plan) -> None:
    (command,) = _on(NOTHING).operate(operations.applied, plan=lab)
    assert "orch apply -i -" in text(command)
    assert "PRIVATE KEY" in stdin(command)
    assert "PRIVATE KEY" not in text(command)


def test_gateways_with_another_certificate_start_again(lab: Plan) -> None:
    """They read it at their start."""
    found = _applied(lab)
    renewed = lab.credentials.model_copy(update={"ceph_certificate": "another"})
    changed = dataclasses.replace(lab, credentials=renewed)
    note, apply, restart = FakeHost({Cephadm: DONE, Ceph: found}, "ceph0").shell(
        operations.applied, plan=changed
    )
    assert note.endswith(f"touch {GATEWAYS_NOTE}")
    assert "orch apply -i -" in apply and "orch restart rgw.quaylab" in restart
    assert restart.endswith(f"rm -f {GATEWAYS_NOTE}")
    # None runs before there is an OSD.
    without = dataclasses.replace(found, daemons={"mon": 3})
    (command,) = FakeHost({Cephadm: DONE, Ceph: without}, "ceph0").shell(
        operations.applied, plan=changed
    )
    assert "restart" not in command


def test_a_restart_of_the_gateways_that_was_lost_is_made_up_for(lab: Plan) -> None:
    """Their new certificate is in Ceph's export already."""
    killed = dataclasses.replace(DONE, gateways_to_restart=True)
    (restart,) = _on(killed, lab).shell(operations.applied, plan=lab)
    assert "orch restart rgw.quaylab" in restart
    assert restart.endswith(f"rm -f {GATEWAYS_NOTE}")


@pytest.mark.parametrize("fails", ["apply", "restart", ""])
def test_the_reason_of_a_refused_specification_is_shown(
    lab: Plan, shell: Shell, tmp_path: Path, fails: str
) -> None:
    renewed = lab.credentials.model_copy(update={"ceph_certificate": "another"})
    _, apply, restart = _on(DONE, lab).operate(
        operations.applied, plan=dataclasses.replace(lab, credentials=renewed)
    )
    shell.stub(
        "cephadm",
        "for step in $(seq 20); do echo step $step; done >&2\n"
        f'case "$*" in *"orch {fails or "none"} "*) echo "Error EINVAL: $(wc -l)" >&2; exit 22;; '
        '*apply*) test "$(grep --count service_type)" = 7; esac',
    )
    note = tmp_path / "note"
    note.touch()
    done = shell.run(text(apply), stdin(apply))
    if done.returncode == 0:
        done = shell.run(text(restart).replace(GATEWAYS_NOTE, str(note)))
    assert done.returncode == note.exists() == bool(fails)
    assert done.stderr.count("\n") == (15 if fails else 0)
    assert ("Error EINVAL" in done.stderr) is bool(fails)
    assert any("restart" in call for call in shell.calls) is (fails != "apply")


def test_memory_of_osds_is_set_after_the_bootstrap(lab: Plan) -> None:
    """At its end cephadm switches its autotuning on."""
    target, autotune = _on(NOTHING).shell(operations.osd_memory_limited, plan=lab)
    size = cephadm.osd_memory_mb(lab.settings) * 1024**2
    assert f"-- ceph --connect-timeout=10 config set osd osd_memory_target {size} " in target
    assert (
        "-- ceph --connect-timeout=10 config set osd osd_memory_target_autotune false " in autotune
    )


def test_commands_name_their_cluster(lab: Plan) -> None:
    """Beside another cluster's daemons cephadm can't infer it."""
    words = ceph.shell(lab.settings, lab.topology, lab.credentials, DOCKER)
    assert words[-3:] == ("--fsid", ceph.cluster_id(lab.credentials), "--")


def test_other_hosts_leave_it_to_the_first(lab: Plan) -> None:
    other = _on(NOTHING, name="ceph1")
    assert other.operate(operations.applied, plan=lab) == []
    assert other.operate(operations.serving, plan=lab) == []


def test_nothing_is_applied_without_all_hosts(lab: Plan, caplog: pytest.LogCaptureFixture) -> None:
    machines = {name: each for name, each in lab.machines.items() if name != "ceph2"}
    first = _on(DONE)
    part = dataclasses.replace(lab, machines=machines)
    assert first.operate(operations.applied, plan=part) == []
    assert "ceph2 takes no part, so Ceph keeps its specifications" in caplog.text


def test_a_host_that_has_left_the_group_is_named(
    lab: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    """Ceph keeps its OSDs, and waits for those of a lost one for ever."""
    found = _applied(lab)
    former = {"service_type": "host", "hostname": "ceph3", "addr": "192.168.254.23", "labels": []}
    found = dataclasses.replace(found, declared=[*found.declared, former])
    first = FakeHost({Cephadm: DONE, Ceph: found}, "ceph0")
    assert first.operate(operations.applied, plan=lab) == []
    (record,) = caplog.records
    assert record.message.startswith("ceph: ceph3 is in Ceph's cluster and not in group `ceph`")
    assert "yourself on ceph0, in `cephadm shell`: ceph orch host drain ceph3" in record.message
    assert "ceph orch host rm ceph3 --offline --force" in record.message


def test_an_image_of_another_version_is_no_silent_upgrade(
    lab: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    assert _on(DONE, lab).operate(operations.applied, plan=lab) == []
    assert not caplog.text
    settings = lab.settings.model_copy(update={"ceph_image": "quay.io/ceph/ceph:v19.2.3"})
    newer = dataclasses.replace(lab, settings=settings)
    assert _on(DONE, lab).operate(operations.applied, plan=newer) == []
    assert "the cluster runs Ceph 18.2.7; no run upgrades it" in caplog.text
    assert "ceph orch upgrade start --image quay.io/ceph/ceph:v19.2.3" in caplog.text


@pytest.mark.parametrize(
    "name", ["prepared", "started", "bootstrapped", "osd_memory_limited", "applied", "serving"]
)
def test_second_run_changes_nothing(lab: Plan, name: str) -> None:
    first = _on(DONE, lab)
    assert first.operate(getattr(operations, name), plan=lab) == []
    assert first.noops


def test_gateway_without_osds_is_reported(lab: Plan) -> None:
    (command,) = _on(NOTHING).shell(operations.serving, plan=lab)
    assert "has it OSDs?" in command
    assert "/dev/tcp/192.168.254.20/7480" in command


def test_teardown_stops_and_purge_removes(lab: Plan) -> None:
    (stop,) = _on(DONE).shell(operations.stopped, plan=lab)
    assert stop.startswith("systemctl stop ceph-")
    _, remove = _on(DONE).shell(operations.removed, plan=lab)
    image, fsid = lab.settings.ceph_image, ceph.cluster_id(lab.credentials)
    assert f"cephadm --image {image} rm-cluster --force --fsid {fsid} " in remove
    assert "--zap-osds" in remove
    assert _on(NOTHING).operate(operations.removed, plan=lab) == []


# --- a host's reboot ---

WHOLE = {
    "quorum": [0, 1, 2],
    "monmap": {"num_mons": 3},
    "osdmap": {"num_osds": 3, "num_up_osds": 3},
    "pgmap": {
        "num_pgs": 33,
        "pgs_by_state": [
            {"state_name": "active+clean", "count": 32},
            {"state_name": "active+clean+scrubbing", "count": 1},
        ],
    },
}
DEGRADED = {
    "quorum": [0, 1],
    "monmap": {"num_mons": 3},
    "osdmap": {"num_osds": 3, "num_up_osds": 2},
    "pgmap": {
        "num_pgs": 33,
        "pgs_by_state": [
            {"state_name": "active+clean", "count": 20},
            {"state_name": "active+undersized+degraded", "count": 13},
        ],
    },
}


INCONSISTENT = {
    **WHOLE,
    "pgmap": {
        "num_pgs": 33,
        "pgs_by_state": [
            {"state_name": "active+clean", "count": 31},
            {"state_name": "active+clean+inconsistent", "count": 1},
            {"state_name": "active+clean+inconsistent+failed_repair", "count": 1},
        ],
    },
}


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeHost]:
    """Ceph's hosts; time passes while one waits."""
    hosts = {name: FakeHost(name=name) for name in NAMES}
    slept = [0.0]
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(
        operations, "inventory", SimpleNamespace(get_host=hosts.__getitem__), raising=True
    )
    monkeypatch.setattr(operations, "inventory_arguments", lambda host: {})
    return hosts


def _await_clean(lab: Plan, hosts: dict[str, FakeHost]) -> bool:
    return hosts["ceph1"].call(FunctionCommand(operations.await_clean, (lab,), {}))


def test_a_cluster_that_has_all_copies_can_do_without_a_host(
    lab: Plan, hosts: dict[str, FakeHost]
) -> None:
    hosts["ceph0"].shell_output = (True, ["Inferring fsid", json.dumps(WHOLE)])
    assert _await_clean(lab, hosts)
    shell = " ".join(ceph.shell(lab.settings, lab.topology, lab.credentials, DOCKER))
    (asked,) = hosts["ceph0"].ran
    assert asked == f"{shell} ceph --connect-timeout=10 --format=json status 2>/dev/null"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            (True, [json.dumps(DEGRADED)]),
            "2 of 3 monitors agree, 2 of 3 OSDs are up, 20 of 33 placement groups have all copies, "
            "none of them damaged",
        ),
        (
            (True, [json.dumps(INCONSISTENT)]),
            "31 of 33 placement groups have all copies, none of them damaged",
        ),
        ((True, []), "it does not answer"),
        ((False, [json.dumps(WHOLE)]), "it does not answer"),
    ],
    ids=["degraded", "damaged", "no answer", "failed"],
)
def test_a_cluster_that_needs_the_host(
    lab: Plan, hosts: dict[str, FakeHost], answer: tuple[bool, list[str]], reason: str
) -> None:
    hosts["ceph0"].shell_output = answer
    assert not _await_clean(lab, hosts)
    (message,) = hosts["ceph1"].messages
    assert f"Ceph can't do without ceph1: for {lab.settings.health_timeout} s, {reason}" in message
    assert message.endswith("see on ceph0: cephadm shell -- ceph status")


def test_ceph_is_asked_on_its_first_host(lab: Plan, hosts: dict[str, FakeHost]) -> None:
    machines = {name: each for name, each in lab.machines.items() if name != "ceph0"}
    assert not _await_clean(dataclasses.replace(lab, machines=machines), hosts)
    assert "Ceph is asked on ceph0, which takes no part" in hosts["ceph1"].messages[0]

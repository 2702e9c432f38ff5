"""Database and Redis on three machines, under counted pushes and pulls."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import pytest

from quaylab.secrets import certificates
from quaylab.services import member_certificate
from quaylab.services.patroni_config import changes, dynamic_settings
from tests.ha.cluster import CONTROL, DATABASE, ETCD, Cluster, etcdctl, inside
from tests.ha.conftest import Growth
from tests.ha.faults import (
    GAP,
    assert_nothing_left,
    is_whole,
    kill_container,
    kill_patroni,
    kill_postgresql,
)
from tests.ha.load import Counts, Load
from tests.machine import engines
from tests.machine.deployment import HOSTNAME, Deployment
from tests.machine.drifting import VERIFY
from tests.machine.machines import Machine, wait_until
from tests.machine.s3_store import KEYS

PSQL = "psql --no-psqlrc --tuples-only --no-align --dbname=quay --command="
# Seconds. Patroni notices a lost leader after 20; 23 were measured.
GAP_WITHOUT_LEADER = 35


def test_growth_from_one_machine_keeps_every_image(growth: tuple[Deployment, Growth]) -> None:
    """The single database's volume becomes the first member; clients go on after the stop."""
    _, seen = growth
    print(f"before: {seen.before}\nduring: {seen.during}")
    assert seen.before.pushed and seen.during.pushed
    assert seen.lost == []


def test_status_tells_who_leads_and_where_routers_lead(
    deployed: Deployment, cluster: Cluster
) -> None:
    table = deployed.run("tasks/status.py").check().stdout
    leader = cluster.leader.name
    assert f"Member, {leader}" in table and "leads" in table
    assert "synchronous, streaming" in table
    assert table.count(f"database at {leader}, redis at one") == len(cluster.machines)


@pytest.mark.long
def test_a_changed_password_needs_no_other_container(
    deployed: Deployment, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Quay's role, and of the members'; nothing is left to do after it."""
    before = _started(cluster)
    for key in KEYS:
        # A given value would come before the rotated one.
        monkeypatch.delenv(f"QUAYLAB_STORAGE_{key.upper()}_KEY")
    deployed.run("tasks/rotate.py").check()
    assert _started(cluster) == before
    assert deployed.run().changed() == []


def _started(cluster: Cluster) -> list[str]:
    command = f"inspect --format '{{{{.State.StartedAt}}}}' {DATABASE} quaylab-etcd"
    return [machine.run(f"{machine.engine} {command}").stdout for machine in cluster.machines]


def test_a_stopped_member_and_changed_settings_are_seen_and_mended(
    deployed: Deployment, cluster: Cluster
) -> None:
    replica = next(each for each in cluster.machines if each != cluster.leader)
    replica.run(engines.stop(replica.engine, DATABASE))
    edit = "edit-config --force --set loop_wait=9"
    leader = cluster.leader
    leader.run(inside(leader, f"{CONTROL} {edit}"))
    leader.run(inside(leader, f"{PSQL}\"ALTER ROLE quay PASSWORD 'by-hand'\""))
    planned = deployed.run("deploy.py", "--dry").planned()
    changed = deployed.run().changed()
    assert {name.partition(" | ")[2] for name, _ in planned} >= {
        "Run the database's member as specified",
        "Set the passwords of the database's roles",
        "Keep the settings of the database's cluster",
    }
    assert set(planned) <= set(changed)
    assert deployed.run().changed() == []
    state = cluster.state(cluster.leader)
    assert state and changes(dynamic_settings(), state.settings) == {}


def test_another_member_leads_etcd_than_the_database(cluster: Cluster) -> None:
    """Else the loss of that machine would take writes away for longer."""
    leader, leader_of_etcd = cluster.leader, cluster.etcd_leader
    assert leader_of_etcd
    members = {name: identity for identity, _, name, *_ in etcdctl(leader, "member list")}
    etcdctl(leader_of_etcd, f"move-leader {members[leader.name]}")
    assert cluster.etcd_leader == leader
    wait_until(lambda: cluster.etcd_leader not in (None, leader), "etcd is led elsewhere")
    assert cluster.leader == leader


def _etcd(leader: Machine) -> None:
    kill_container(leader, "quaylab-etcd")


@pytest.mark.parametrize(
    ("fault", "gap"),
    [
        (kill_postgresql, 2 * GAP),
        # The loss of its machine shows the same.
        pytest.param(kill_patroni, GAP_WITHOUT_LEADER, marks=pytest.mark.long),
        (_etcd, GAP),
    ],
)
def test_a_killed_daemon_of_the_leader_loses_nothing(
    deployed: Deployment,
    cluster: Cluster,
    load: Load,
    fault: Callable[[Machine], None],
    gap: int,
) -> None:
    """It comes back by itself, and a run finds nothing to do."""
    with load.running() as counts:
        load.await_pull()
        fault(cluster.leader)
        load.await_push(gap)
    cluster.await_whole()
    _assert_nothing_lost(counts, load, gap)
    assert_nothing_left(deployed)


def test_a_killed_redis_is_not_missed(deployed: Deployment, cluster: Cluster, load: Load) -> None:
    with load.running() as counts:
        load.await_pull()
        kill_container(cluster.machines[0], "quaylab-redis")
        time.sleep(10)
    _assert_nothing_lost(counts, load, GAP)
    assert counts.failed_operations == []
    assert deployed.run().changed() == []


def test_the_leaders_machine_is_lost(deployed: Deployment, cluster: Cluster, load: Load) -> None:
    """A run leaves it out and does not touch who is a member; it verifies another node if the lost
    one is the first. Later the machine comes back by itself."""
    first, second, _ = cluster.machines
    lost = cluster.leader
    with load.running() as counts:
        load.await_pull()
        lost.kill()
        load.await_push(GAP_WITHOUT_LEADER)
    assert cluster.leader != lost
    changed = deployed.run("deploy.py", "--exclude", lost.name).changed()
    assert changed in ([], [(VERIFY, second.name)] if lost == first else [])
    lost.start()
    cluster.await_whole()
    _assert_nothing_lost(counts, load, GAP_WITHOUT_LEADER)
    assert_nothing_left(deployed)


def test_a_leader_without_network_accepts_nothing(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    cut = cluster.leader
    with load.running() as counts:
        load.await_pull()
        with cut.without_carrier():
            time.sleep(2)
            write = inside(cut, f"{PSQL}'CREATE TABLE written_alone ()'")
            assert cut.run(f"timeout 20 {write}", check=False).returncode
            load.await_push(GAP_WITHOUT_LEADER)
    cluster.await_whole()
    assert cluster.leader != cut
    leader = cluster.leader
    tables = leader.run(inside(leader, f"{PSQL}\"SELECT to_regclass('written_alone') IS NULL\""))
    assert tables.stdout.strip() == "t"
    _assert_nothing_lost(counts, load, GAP_WITHOUT_LEADER)
    assert deployed.run().changed() == []


@pytest.mark.long
def test_two_lost_machines_stop_the_registry_and_lose_nothing(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    """One machine alone acknowledges nothing. When the others are back, all is there."""
    lost = [machine for machine in cluster.machines if machine != cluster.leader]
    with load.running() as before:
        load.await_pull()
        time.sleep(10)
    for machine in lost:
        machine.kill()
    time.sleep(10)
    with load.running() as during:
        time.sleep(30)
    assert not during.pushed
    for machine in lost:
        machine.start()
    cluster.await_whole()
    wait_until(lambda: is_whole(cluster.machines), "all nodes are in service", timeout=120)
    assert before.pushed
    assert load.lost(before) == []
    assert_nothing_left(deployed)


@pytest.mark.long
def test_all_machines_lose_power_at_once(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    with load.running() as counts:
        time.sleep(10)
        for machine in cluster.machines:
            machine.kill()
    for machine in cluster.machines:
        machine.start()
    cluster.await_whole()
    wait_until(lambda: is_whole(cluster.machines), "all nodes are in service", timeout=120)
    assert counts.pushed
    assert load.lost(counts) == []
    assert_nothing_left(deployed)


@pytest.mark.long
def test_one_run_is_enough_after_a_teardown(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    """Also if the first host's member followed: alone it would never lead."""
    first, second, _ = cluster.machines
    if cluster.leader == first:
        cluster.switch_over(second.name)
        cluster.await_whole()
    with load.running() as counts:
        load.await_pull()
    deployed.run("tasks/teardown.py").check()
    deployed.run().check()
    cluster.await_whole()
    wait_until(lambda: is_whole(cluster.machines), "all nodes are in service", timeout=120)
    assert counts.pushed
    assert load.lost(counts) == []
    assert deployed.run().changed() == []


@pytest.mark.long
def test_an_emptied_machine_joins_again(deployed: Deployment, cluster: Cluster, load: Load) -> None:
    """Its disk was lost: etcd and the database are copied from the others by a run."""
    emptied = next(each for each in cluster.machines if each != cluster.leader)
    with load.running() as counts:
        for name in (DATABASE, "quaylab-etcd"):
            emptied.run(engines.remove(emptied.engine, name))
            emptied.run(f"{emptied.engine} volume rm {name}")
        deployed.run().check()
        cluster.await_whole()
    _assert_nothing_lost(counts, load, GAP)
    assert deployed.run().changed() == []


@pytest.mark.long
def test_a_member_that_never_started_is_forgotten_by_its_address(
    deployed: Deployment, cluster: Cluster
) -> None:
    """As after a run that announced a new host, whose machine then died."""
    network = cluster.leader.address.rpartition(".")[0]
    address = f"{network}.240"
    etcdctl(cluster.leader, f"member add four --peer-urls=https://{address}:2380")
    early = deployed.run()
    assert f"database: {address} is a member and in no group; have it forgotten" in early.output
    assert early.returncode
    refused = deployed.run("tasks/forget_member.py", "--data", "forget=four")
    assert f"the one at {address} has never started" in refused.output
    assert refused.returncode
    deployed.run("tasks/forget_member.py", "--data", f"forget={address}").check()
    members = etcdctl(cluster.leader, "member list")
    assert len(members) == len(cluster.machines)
    assert not [url for _, _, _, url, *_ in members if address in url]
    assert deployed.run().changed() == []


@pytest.mark.long
def test_etcds_port_changes_while_it_runs(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    """Each member is told of the others' new address before they have it, and back again."""
    with load.running() as counts:
        for options, port in ((("--data", "etcd_peer_port=12380"), 12380), ((), 2380)):
            deployed.run("deploy.py", *options).check()
            cluster.await_whole()
            members = etcdctl(cluster.leader, "member list")
            assert all(url.endswith(f":{port}") for _, _, _, url, *_ in members)
    _assert_nothing_lost(counts, load, GAP)
    assert deployed.run().changed() == []


@pytest.mark.long
@pytest.mark.parametrize("announced", [True, False], ids=["first start alone", "forgotten"])
def test_who_has_data_and_is_no_member_joins_the_others_in_the_next_run(
    deployed: Deployment, cluster: Cluster, announced: bool
) -> None:
    """What it has made alone is of no cluster, here as an older version left it; or it is back
    after the others have forgotten it."""
    lost = next(
        each for each in cluster.machines if each not in (cluster.leader, cluster.etcd_leader)
    )
    (row,) = (each for each in etcdctl(cluster.leader, "member list") if each[2] == lost.name)
    # It keeps its data.
    lost.run(engines.stop(lost.engine, ETCD))
    etcdctl(cluster.leader, f"member remove {row[0]}")
    if announced:
        time.sleep(10)
        etcdctl(cluster.leader, f"member add {lost.name} --peer-urls={row[3]}")
    changed = {name.partition(" | ")[2] for name, _ in deployed.run().changed()}
    assert "Remove etcd's data that is no member's" in changed
    cluster.await_whole()
    assert deployed.run().changed() == []


@pytest.mark.long
def test_members_whose_certificate_has_expired_are_brought_back_by_a_run(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    """As after thirteen months without one. Patroni goes on with the certificate that it has
    loaded, whatever its files are."""
    with load.running() as counts:
        load.await_pull()
    expired = certificates.with_database_certificate(
        deployed.credentials.model_copy(update={"database_certificate": None}),
        HOSTNAME,
        (member_certificate.NAME, *(machine.address for machine in cluster.machines)),
        dt.datetime.now(dt.timezone.utc) - certificates.LEAF_LIFE - dt.timedelta(days=1),
    )
    assert expired.database_certificate and expired.database_certificate_key
    contents = {
        member_certificate.CERTIFICATE: expired.database_certificate,
        member_certificate.KEY: expired.database_certificate_key.get_secret_value(),
    }
    for machine in cluster.machines:
        for service in ("database", "etcd"):
            for name, content in contents.items():
                machine.run(f"cat >/etc/quaylab/{service}/{name}", input=content)
        machine.run(f"{machine.engine} kill --signal=HUP {DATABASE}")
    for machine in cluster.machines:
        # Else etcd's members keep the connections that they have.
        kill_container(machine, ETCD)
    wait_until(
        lambda: not any(map(cluster.state, cluster.machines)), "no member answers", timeout=60
    )
    deployed.run().check()
    cluster.await_whole()
    wait_until(lambda: is_whole(cluster.machines), "all nodes are in service", timeout=120)
    assert counts.pushed
    assert load.lost(counts) == []
    assert_nothing_left(deployed)


def _assert_nothing_lost(counts: Counts, load: Load, gap: int) -> None:
    print(f"{counts}")
    assert counts.pulls
    assert counts.gap_of_writes <= gap
    assert load.lost(counts) == []

"""Members of the database with a full disk, old data, or another time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ha.cluster import CONTROL, DATABASE, Cluster, inside
from tests.ha.faults import GAP, is_whole, kill_postgresql
from tests.ha.load import Load
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, wait_until

# What is done to a container by hand here differs from engine to engine; what it shows does not.
pytestmark = [
    pytest.mark.long,
    pytest.mark.parametrize("engine", ["docker"], indirect=True, scope="session"),
]

PSQL = f"docker exec {DATABASE} psql --no-psqlrc --command="
VOLUME = f"/var/lib/docker/volumes/{DATABASE}/_data"
SMALL, FILL, OLD = "/mnt/small", "/mnt/small/fill", "/mnt/old"
# MB of a small disk beside the data: the write-ahead log keeps up to 128 of them for replicas.
SPARE = 300
LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@contextmanager
def _small_disk(member: Machine) -> Iterator[None]:
    """Have a member's data on a small disk during the block."""
    member.run(f"docker stop {DATABASE}")
    megabytes = int(member.run(f"du --summarize --block-size=M {VOLUME}").stdout.partition("M")[0])
    member.run(f"mkdir -p {SMALL} && mount -t tmpfs -o size={megabytes + SPARE}M small {SMALL}")
    member.run(f"cp --archive {VOLUME}/. {SMALL} && mount --bind {SMALL} {VOLUME}")
    member.run(f"docker start {DATABASE}")
    try:
        yield
    finally:
        member.run(f"docker stop {DATABASE}")
        member.run(f"umount {VOLUME} && find {VOLUME} -mindepth 1 -delete")
        member.run(f"cp --archive {SMALL}/. {VOLUME} && umount {SMALL}")
        member.run(f"docker start {DATABASE}")


def _fill(member: Machine) -> None:
    member.run(f"dd if=/dev/zero of={FILL} bs=1M", check=False)
    assert member.run(f"df --output=avail {SMALL}").stdout.split()[-1] == "0"


def _write_on(cluster: Cluster) -> None:
    """Have the leader begin new segments of its log, which need space; some are there already."""
    for _ in range(15):
        for member in cluster.machines:
            member.run(f"timeout 5 {PSQL}'SELECT pg_switch_wal()'", check=False)
        time.sleep(2)


def _have_lead(cluster: Cluster, member: Machine) -> None:
    if cluster.leader != member:
        member.run(inside(member, f"{CONTROL} failover --candidate {member.name} --force"))
        wait_until(lambda: cluster.leader == member, f"{member.name} leads", timeout=60)
    cluster.await_whole()


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "replica"])
def test_a_members_disk_is_full(
    deployed: Deployment, cluster: Cluster, load: Load, leads: bool
) -> None:
    """Another one leads, or is the second one that has every write. With space it is back."""
    member = next(each for each in cluster.machines if each != cluster.leader)
    with _small_disk(member):
        cluster.await_whole()
        if leads:
            _have_lead(cluster, member)
        with load.running() as counts:
            time.sleep(5)
            _fill(member)
            _write_on(cluster)
        print(f"{counts}\n{cluster.state(cluster.leader)}")
        assert cluster.leader != member
        member.run(f"rm {FILL}")
        cluster.await_whole()
        assert load.lost(counts) == []
    cluster.await_whole()
    assert counts.gap_of_writes <= 4 * GAP
    wait_until(lambda: is_whole(cluster.machines), "all nodes are in service", timeout=120)
    assert deployed.run().changed() == []


def test_a_member_with_old_data_follows_and_does_not_lead(
    deployed: Deployment, cluster: Cluster, load: Load
) -> None:
    """Its disk is one of before, as from a backup; meanwhile there was another leader."""
    before = cluster.state(cluster.leader)
    assert before
    old = next(
        each for each in cluster.machines if each.name not in (before.leader, before.successor)
    )
    old.run(f"docker stop {DATABASE} && cp --archive {VOLUME} {OLD} && docker start {DATABASE}")
    cluster.await_whole()
    with load.running() as counts:
        time.sleep(5)
        cluster.switch_over(before.successor)
        load.await_push(GAP)
        old.run(f"docker stop {DATABASE}")
        old.run(f"find {VOLUME} -mindepth 1 -delete && cp --archive {OLD}/. {VOLUME}")
        old.run(f"docker start {DATABASE} && rm -r {OLD}")
        time.sleep(10)
        assert cluster.leader != old
    cluster.await_whole()
    print(f"{counts}")
    assert counts.gap_of_writes <= 2 * GAP
    assert load.lost(counts) == []
    assert deployed.run().changed() == []


@contextmanager
def _another_time(member: Machine, offset: str) -> Iterator[None]:
    """Have Patroni and PostgreSQL of a member see another time. Machines share their clock, and
    etcd, which is written in Go, asks the kernel by itself."""
    member.run("apt-get install --quiet=2 --yes libfaketime >/dev/null")
    member.run(f"docker cp --follow-link {LIBRARY} {DATABASE}:/faketime.so")
    inside = f"docker exec --user 0 {DATABASE} sh -c"
    member.run(f"{inside} 'echo {offset} >/etc/faketimerc; echo /faketime.so >/etc/ld.so.preload'")
    member.run(f"docker restart {DATABASE}")
    try:
        yield
    finally:
        member.run(f"{inside} ': >/etc/ld.so.preload'")
        member.run(f"docker restart {DATABASE}")


def _ahead(member: Machine) -> float:
    """Return how many seconds a member's time is ahead of ours."""
    own = member.run(f"docker exec {DATABASE} date +%s").stdout
    return float(own) - time.time()


def test_members_clocks_are_apart(deployed: Deployment, cluster: Cluster, load: Load) -> None:
    """Who leads follows from etcd's leases, and who has which write from the log's positions."""
    one, two, _ = cluster.machines
    with _another_time(one, "+600"), _another_time(two, "-600"):
        cluster.await_whole()
        assert abs(_ahead(one) - 600) < 10
        assert abs(_ahead(two) + 600) < 10
        for member in (one, two):
            _have_lead(cluster, member)
            with load.running() as counts:
                time.sleep(5)
                kill_postgresql(member)
                load.await_push(2 * GAP)
            print(f"{counts}")
            assert counts.pulls
            assert counts.gap_of_writes <= 2 * GAP
            cluster.await_whole()
            assert load.lost(counts) == []
    cluster.await_whole()
    assert deployed.run().changed() == []

"""The database on several hosts: its members agree, and the routers lead to the one that leads."""

from __future__ import annotations

from facts.etcd import Etcd
from facts.patroni import Patroni, PatroniState
from facts.router import Router
from quaylab.model import container_name
from quaylab.services import etcd, patroni, patroni_config
from quaylab.services.base import ROUTER, member_name
from tests.hosts.lab import Lab, Target


def _state(member: Target) -> PatroniState:
    found: PatroniState | None = member.ask(Patroni(), container=patroni.CONTAINER)
    assert found is not None, "Patroni or etcd does not answer"
    return found


def test_leads_or_follows(member: Target) -> None:
    own = _state(member).own
    assert own and (own.leads or own.follows)


def test_has_loaded_its_files(member: Target, lab: Lab) -> None:
    assert _state(member).loaded == patroni.wanted_digest(lab.plan, member.name)


def test_etcd_counts_the_members_of_the_inventory(member: Target, lab: Lab) -> None:
    found = member.ask(Etcd(), container=etcd.CONTAINER)
    assert found, "etcd has no majority"
    wanted = {member_name(name) for name in lab.plan.topology.database_members}
    assert {each.name for each in found} == wanted


def test_all_agree_on_one_leader_and_a_second_one_has_what_it_has(cluster: list[Target]) -> None:
    states = [_state(member) for member in cluster]
    assert len({state.leader for state in states}) == 1
    assert all(state.leader and state.successor for state in states)


def test_the_cluster_has_its_settings(member: Target) -> None:
    wanted = patroni_config.dynamic_settings()
    assert patroni_config.changes(wanted, _state(member).settings) == {}


def test_the_router_leads_to_who_serves(router_host: Target, lab: Lab) -> None:
    found = router_host.ask(Router(), container=container_name(ROUTER))
    assert found is not None, "HAProxy does not answer"
    topology = lab.plan.topology
    if topology.database_members:
        assert len(found["database"]) == 1, "one leads, and the others take no writes"
        assert {*found["database"]} <= {member_name(name) for name in topology.database_members}
        # Nobody, if the members aren't under test.
        leaders = {_state(member).leader for member in lab.on(*topology.database_members)}
        assert leaders <= {*found["database"]}
    if len(topology.redis.hosts) > 1:
        assert found["redis"] == [member_name(topology.redis.hosts[0])]

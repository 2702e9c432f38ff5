"""Ceph is well, and has Quay's user and bucket."""

from __future__ import annotations

from collections.abc import Callable

from facts.ceph import Ceph, CephState
from facts.router import Router
from quaylab.model import container_name
from quaylab.scripts import ceph_report
from quaylab.services import ceph, ingress
from quaylab.services.base import member_name
from tests.hosts.lab import Lab, Target


def _state(target: Target, lab: Lab) -> CephState:
    shell = ceph.shell(
        lab.plan.settings, lab.plan.topology, lab.plan.credentials, lab.plan.engine_of(target.name)
    )
    found: CephState | None = target.ask(Ceph(), shell=shell)
    assert found, "the cluster does not answer"
    return found


def test_cluster_is_healthy(
    ceph_host: Target, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    found = _state(ceph_host, lab)
    record_property("Ceph", f"{found.version}, {found.health}, {dict(found.daemons)}")
    assert found.health == "HEALTH_OK", ", ".join(found.checks)


def test_every_kind_of_daemon_runs(ceph_host: Target, lab: Lab) -> None:
    daemons = _state(ceph_host, lab).daemons
    assert all(daemons.get(kind) for kind in ("mon", "mgr", "osd", "rgw"))


def test_user_has_the_keys_and_the_quota_of_the_plan(ceph_host: Target, lab: Lab) -> None:
    user = ceph.user(lab.plan.settings, lab.plan.credentials)
    assert _state(ceph_host, lab).users.get(ceph.USER) == ceph_report.digest(user)


def test_the_ingress_leads_to_every_gateway(ingress_host: Target, lab: Lab) -> None:
    found = ingress_host.ask(Router(), container=container_name(ingress.NAME))
    assert found is not None, "HAProxy does not answer"
    gateways = [member_name(name) for name in lab.plan.topology.hosts["ceph"]]
    assert sorted(found["gateways"]) == sorted(gateways)


def test_bucket_is_quays(ceph_host: Target, lab: Lab) -> None:
    buckets = _state(ceph_host, lab).buckets
    assert buckets.get(lab.plan.settings.storage_bucket) == ceph.USER

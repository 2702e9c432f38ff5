"""Balancers in front of a Ceph of three hosts: the way to its gateways is there before Quay."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.project import Project, Result, fake, report

LB = {f"lb{number}": f"192.168.254.2{number}" for number in (1, 2)}
QUAY = {f"quay{number}": f"192.168.254.3{number}" for number in (1, 2)}
CEPH = {f"ceph{number}": f"192.168.254.6{number}" for number in (1, 2, 3)}
DATA = {"data": "192.168.254.41"}
VIRTUAL = "192.168.254.100"
OPTIONS = (
    "--data=server_hostname=registry.example.com",
    f"--data=virtual_address={VIRTUAL}",
    "--data=health_timeout=10",
)
# A store is asked over SSH or on @local only, so a run on fake hosts ends here.
END = "Wait for Ceph's gateways behind the balancers"


def _hosts(names: dict[str, str]) -> list[Any]:
    found = []
    for name, address in names.items():
        lines = [f"own_address {address}", f"network eth0 {address}/24", f"hostname {name}"]
        text = "\n".join([report(address=address), *lines])
        found.append(fake(name, text, ssh_hostname=address))
    return found


def _inventory(project: Project) -> str:
    data = _hosts(DATA)
    return project.inventory(
        balancer=_hosts(LB), quay=_hosts(QUAY), ceph=_hosts(CEPH), database=data, redis=data
    )


@pytest.fixture(scope="module")
def first(shared_project: Project) -> Result:
    inventory = _inventory(shared_project)
    return shared_project.run("-y", "-vv", inventory, "tasks/ceph.py", *OPTIONS)


def test_the_address_leads_to_the_gateways_before_anything_is_asked_there(first: Result) -> None:
    order = [
        "Wait for Ceph's gateway",
        "Create Quay's user in Ceph",
        "Run the ingress",
        "Hold the address before HAProxy runs",
        "Run keepalived",
        "Wait until the balancers lead to Ceph's gateways",
        END,
    ]
    positions = [first.operations.index(name) for name in order]
    assert positions == sorted(positions)
    assert first.operations[-1] == END


def test_each_balancer_has_one_and_one_after_the_other(first: Result) -> None:
    assert first.operations.count("Run the ingress") == len(LB)
    for name in LB:
        (run,) = [each for each in first.commands(name) if "docker run --detach" in each]
        assert "--name=quaylab-ingress " in run
        assert "--publish=0.0.0.0:7443:7443" in run
    for name in (*QUAY, *CEPH):
        assert not [each for each in first.commands(name) if "quaylab-ingress" in each]


def test_the_first_ceph_host_waits_for_its_own_gateway(first: Result) -> None:
    assert [each for each in first.commands("ceph1") if "/dev/tcp/192.168.254.61/7480" in each]


def test_quay_comes_after_it_and_haproxy_after_quay(project: Project) -> None:
    result = project.run("--dry", "--json", _inventory(project), "deploy.py", *OPTIONS)
    assert result.code == 0, result.output
    order = ("Run the ingress", END, "Start Quay where it does not run", "Run HAProxy")
    positions = [result.plan.index(name) for name in order]
    assert positions == sorted(positions)

"""HAProxy in front of Quay's nodes, and the address that one of the balancers holds."""

from __future__ import annotations

from facts.balancer import Balancer
from quaylab.model import LOOPBACK
from quaylab.services import balancer
from tests.hosts.lab import Lab, Target
from tests.hosts.test_registry import REPOSITORIES


def test_every_node_is_in_service(balancer_host: Target, lab: Lab) -> None:
    (workload,) = lab.plan.workloads_for(balancer.NAME, balancer_host.name)
    state = balancer_host.ask(Balancer(), container=workload.container.name)
    assert {name: str(server) for name, server in state.servers.items()} == {
        node.name: "in service" for node in lab.plan.nodes
    }


def test_metrics_are_for_its_own_host_only(balancer_host: Target, lab: Lab) -> None:
    port = lab.plan.settings.balancer_status_port
    listening = balancer_host.shell.socket("tcp://0").get_listening_sockets()
    assert [each for each in listening if each.endswith(f":{port}")] == [f"tcp://{LOOPBACK}:{port}"]


def test_what_one_balancer_takes_the_next_one_gives(
    balancer_pair: tuple[Target, Target], lab: Lab
) -> None:
    """Both use the same database and the same store, whichever nodes they choose."""
    port = lab.plan.topology.https_port
    user = lab.plan.settings.quay_superuser
    password = lab.plan.credentials.superuser_password.get_secret_value()
    first, following = balancer_pair
    with (
        lab.registry(first, LOOPBACK, port) as here,
        lab.registry(following, LOOPBACK, port) as there,
    ):
        try:
            pushed = here.push(user, password, REPOSITORIES)
            there.pull(user, password, pushed)
        finally:
            here.sign_in(user, password)
            here.delete_repositories(user, REPOSITORIES)


def test_one_balancer_holds_the_virtual_address(address_balancers: list[Target], lab: Lab) -> None:
    address = lab.plan.settings.virtual_address
    holders = [each.name for each in address_balancers if address in each.machine.own_addresses]
    assert len(holders) == 1

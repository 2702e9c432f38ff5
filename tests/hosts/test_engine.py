"""The container engine, and its host's settings for the network and the registry."""

from __future__ import annotations

from facts.trust import BundleHolds
from quaylab.secrets import certificates
from tests.hosts.lab import Lab, Target


def test_docker_starts_at_boot(docker_systemd_host: Target) -> None:
    unit = docker_systemd_host.shell.service("docker")
    assert unit.is_enabled
    assert unit.is_running


def test_knows_the_registrys_name(engine_host: Target, lab: Lab) -> None:
    assert engine_host.shell.addr(lab.plan.topology.hostname).is_resolvable


def test_reaches_the_registry_by_its_name(registry_client: Target, lab: Lab) -> None:
    """As a Docker client on the host does, by the address that the name has there."""
    where = lab.plan.topology
    with lab.registry(registry_client, where.hostname, where.https_port) as registry:
        assert registry.health("instance").ok


def test_docker_uses_the_proxy(docker_proxied_host: Target, lab: Lab) -> None:
    settings, info = lab.plan.settings, docker_proxied_host.docker.info()
    assert info["HttpProxy"] == (settings.http_proxy or "")
    assert info["HttpsProxy"] == (settings.https_proxy or "")
    assert info["NoProxy"] == (settings.no_proxy or "")


def test_trusts_the_companys_ca(company_ca_host: Target, lab: Lab) -> None:
    authority = lab.plan.settings.company_ca
    assert authority is not None  # the fixture has hosts only if it is set
    bundle = company_ca_host.machine.ca_bundle
    bodies = [certificates.pem_body(each) for each in certificates.read(authority)]
    assert company_ca_host.ask(BundleHolds(), bundle=bundle, bodies=bodies)

"""The container engine, on every host that runs a container."""

from pyinfra import host

from facts.engines import host_engine
from operations import engine_restart
from operations.engines import docker, existing_data, podman, pull_secret
from operations.hosts import files, firewall, trust
from operations.runtime.run import begin
from quaylab.engines import PODMAN
from quaylab.model import ManagedFile

plan = begin()
restarts = engine_restart.due(plan)

if host.name in plan.topology.engine_hosts():
    settings = plan.settings
    machine = plan.machines[host.name]

    if settings.company_ca:
        trust.authority_trusted(
            name="Trust the company's CA", machine=machine, authority=settings.company_ca
        )
        # The engine reads the host's CAs only when it starts, but these files at each pull.
        authority = settings.company_ca.read_text()
        files.present(
            name="Trust the company's CA for pulls",
            files=[
                ManagedFile(host_engine().trust(registry), authority)
                for registry in plan.registries
            ],
        )

    if host_engine() is PODMAN:
        podman.installed(name="Install Podman", machine=machine)

        podman.proxy_set(name="Configure Podman's proxy", settings=settings)

        podman.ready(name="Check Podman")
    else:
        docker.installed(name="Install the container engine", machine=machine, settings=settings)

        if proxy := docker.proxy_file(settings):
            files.present(name="Configure the engine's proxy", files=[proxy])

        if host.name not in restarts:
            docker.running(name="Start the container engine", machine=machine, settings=settings)

    answered = machine.engine and machine.engine.version
    if not answered or host.name in plan.storages:
        # The plan can't see volumes while the engine is down or a disk isn't mounted: look now.
        existing_data.as_expected(name="Check the host's existing data", plan=plan)

    trust.registry_noted(name="Record which registry the host serves", plan=plan)

    if settings.pull_secret:
        pull_secret.merged(
            name="Merge the pull secret",
            secret=settings.pull_secret,
            user=settings.pull_secret_user,
        )

    if ca := plan.certificate.ca:
        files.present(
            name="Trust the registry's CA",
            files=[ManagedFile(host_engine().trust(plan.topology.registry), ca)],
        )

    trust.name_known(
        name="Resolve the registry's name",
        hostname=plan.topology.hostname,
        address=plan.address_of_registry(host.name),
    )

    firewall.opened(
        name="Open the firewall",
        ports=[port for _, port in plan.ports_of(host.name)],
        addresses_of=plan.topology.addresses_of,
        vrrp_peers=plan.vrrp_peers(host.name),
    )

# One after the other: what serves on a host stops meanwhile.
for name in host.loop(restarts):  # type: ignore[no-untyped-call]
    if host.name == name:
        engine_restart.restarted(name="Restart the container engine", plan=plan)

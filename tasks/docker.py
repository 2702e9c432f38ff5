"""The container engine, on every host that runs a container."""

from pyinfra import host

from operations import credentials, docker, files, firewall, pull_secret, trust
from operations.plan import plan
from quaylab.files import ManagedFile
from quaylab.topology import docker_trust

lab = plan()

credentials.kept(name="Keep the credentials", plan=lab)

if host.name in lab.topology.engine_hosts():
    settings = lab.settings
    machine = lab.machines[host.name]

    if settings.company_ca:
        trust.authority_trusted(
            name="Trust the company's CA", machine=machine, authority=settings.company_ca
        )
        # The engine reads the host's CAs only as it starts, and these for each pull.
        authority = settings.company_ca.read_text()
        files.present(
            name="Trust the company's CA for pulls",
            files=[ManagedFile(docker_trust(registry), authority) for registry in lab.registries],
        )

    docker.installed(name="Install the container engine", machine=machine, settings=settings)

    if proxy := docker.proxy_file(settings):
        files.present(name="Give the engine its proxy", files=[proxy])

    docker.running(name="Start the container engine", machine=machine, settings=settings)

    answered = machine.engine and machine.engine.version
    if not answered or host.name in lab.storages:
        # Only an engine that answers tells what data it holds, and only a disk that is mounted.
        docker.fits(name="See whose data it holds", plan=lab)

    trust.registry_noted(name="Note the registry that the host serves", plan=lab)

    if settings.pull_secret:
        pull_secret.merged(
            name="Merge the pull secret",
            secret=settings.pull_secret,
            user=settings.pull_secret_user,
        )

    if ca := lab.certificate.ca:
        files.present(
            name="Trust the registry's CA", files=[ManagedFile(lab.topology.docker_trust, ca)]
        )

    trust.name_known(
        name="Know the registry's name",
        hostname=lab.topology.hostname,
        address=lab.address_of_quay(host.name),
    )

    firewall.opened(
        name="Open the firewall",
        parts=lab.parts_of(host.name),
        peer=lab.topology.quay_address,
    )

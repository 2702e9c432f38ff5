"""The hypervisor: libvirt, its networks and pools, and the VMs of the group `lab`.

Run it first, with `--limit hypervisor`: pyinfra connects to all hosts before it plans, and the VMs
don't exist yet. Then deploy.py deploys to the VMs, and not to the hypervisor.
"""

from pyinfra import host

from operations.virtual import base_images, first_boot, hypervisor, machines, resolver
from operations.virtual.run import begin

if "hypervisor" in host.groups:
    run = begin()
    lab = run.lab

    hypervisor.installed(name="Install libvirt and QEMU", lab=lab, machine=run.hypervisor)

    hypervisor.running(name="Start libvirt", lab=lab, machine=run.hypervisor)

    hypervisor.no_conflicts(name="Check for conflicts in libvirt", lab=lab)

    first_boot.known_hosts_present(name="Create the known_hosts file", lab=lab)

    hypervisor.networks(name="Create the networks", lab=lab)

    hypervisor.pools(name="Create the storage pools", lab=lab)

    base_images.present(name="Fetch the base images", lab=lab)

    for vm in lab.machines.values():
        if lab.settings.reimage == vm.name:
            machines.reimaged(name=f"Remove {vm.name}'s root disk", lab=lab, machine=vm)

        machines.seeded(name=f"Create {vm.name}'s seed image", lab=lab, machine=vm)

        machines.disks(name=f"Create {vm.name}'s disks", lab=lab, machine=vm)

        machines.running(name=f"Run {vm.name}", lab=lab, machine=vm)

    for vm in lab.machines.values():
        first_boot.finished(name=f"Wait for {vm.name}", lab=lab, machine=vm)

    first_boot.known_hosts_saved(name="Trust the VMs' host keys", lab=lab)

    resolver.names_resolved(name="Resolve the lab's domain", lab=lab)

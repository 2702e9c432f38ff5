"""The hypervisor: libvirt, its networks and pools, and the VMs of the group `lab`.

Run it first, with `--limit hypervisor`: pyinfra connects to all hosts before it plans, and these
are not there yet. Then deploy.py deploys to them, and leaves the hypervisor out.
"""

from pyinfra import host

from operations import base_images, first_boot, hypervisor, plan, resolver, virtual_machines

if "hypervisor" in host.groups:
    lab = plan.virtual_lab()
    machine = plan.hypervisor()

    hypervisor.installed(name="Install libvirt and QEMU", lab=lab, machine=machine)

    hypervisor.running(name="Start libvirt", lab=lab, machine=machine)

    hypervisor.fits(name="See whether what is there fits", lab=lab)

    first_boot.remembered(name="Begin the list of host keys", lab=lab)

    hypervisor.networks(name="Make the networks", lab=lab)

    hypervisor.pools(name="Make the storage pools", lab=lab)

    base_images.present(name="Fetch the base images", lab=lab)

    for vm in lab.machines.values():
        if lab.settings.reimage == vm.name:
            virtual_machines.reimaged(name=f"Remove {vm.name}'s root disk", lab=lab, machine=vm)

        virtual_machines.seeded(name=f"Make {vm.name}'s seed", lab=lab, machine=vm)

        virtual_machines.disks(name=f"Make {vm.name}'s disks", lab=lab, machine=vm)

        virtual_machines.running(name=f"Run {vm.name}", lab=lab, machine=vm)

    for vm in lab.machines.values():
        first_boot.awaited(name=f"Wait for {vm.name}", lab=lab, machine=vm)

    first_boot.trusted(name="Know the VMs' host keys", lab=lab)

    resolver.known(name="Resolve the lab's domain", lab=lab)

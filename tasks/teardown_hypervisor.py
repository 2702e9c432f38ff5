"""Remove the VMs, networks and pools that tasks/hypervisor.py made, and with them all data.

It wants `--data purge=NAME`, NAME being the registry's own; without it nothing is done. Base images
stay. Run it with `--limit hypervisor`: the VMs needn't answer.
"""

from pyinfra import host

from operations import plan, resolver, virtual_teardown

if "hypervisor" in host.groups:
    lab = plan.virtual_lab(check=False)

    if lab.settings.purge:
        virtual_teardown.spare_others(lab)

        resolver.forgotten(name="Forget the lab's domain", lab=lab)

        virtual_teardown.machines(name="Remove the VMs", lab=lab)

        virtual_teardown.networks(name="Remove the networks", lab=lab)

        virtual_teardown.pools(name="Remove the storage pools", lab=lab)

        virtual_teardown.forgotten(name="Forget credentials and host keys", lab=lab)

"""Remove the VMs, networks and pools that tasks/hypervisor.py made, with all their data.

It needs `--data purge=NAME`, with the registry's name; without it nothing is done. Base images
stay. Run it with `--limit hypervisor`, since the VMs needn't answer.
"""

from pyinfra import host

from operations.virtual import resolver, teardown
from operations.virtual.run import begin

if "hypervisor" in host.groups:
    lab = begin(removes=True).lab

    if lab.settings.purge:
        teardown.check_owner(lab)

        resolver.names_removed(name="Stop resolving the lab's domain", lab=lab)

        teardown.machines(name="Remove the VMs", lab=lab)

        teardown.networks(name="Remove the networks", lab=lab)

        teardown.pools(name="Remove the storage pools", lab=lab)

        teardown.credentials(name="Remove credentials and host keys", lab=lab)

"""Virtual machines: the inventory's lab as XML and cloud-init, compared with the hypervisor's.

Facts and operations run ``virsh`` and ``qemu-img`` on the hypervisor through pyinfra: images, seeds
and volume groups need a shell there anyway, and a remote hypervisor needs no other connection.
libvirt-python looks up addresses for the inventory, which is loaded before pyinfra connects.

Our objects have UUIDs that are derived from the lab's name: every libvirt stores UUIDs, while
networks have metadata only from 9.7 on, and pools have none.
"""

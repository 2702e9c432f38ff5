"""Virtual machines: what an inventory wants, as XML and cloud-init, compared with what is there.

Facts and operations run ``virsh`` and ``qemu-img`` on the hypervisor, through pyinfra: images,
seeds and volume groups need a shell there in any case, and a remote hypervisor needs no way of its
own. libvirt-python looks up addresses for the inventory, which is loaded before pyinfra connects.

What is ours bears a UUID that is worked out from the lab's name: every libvirt keeps those, while
networks have metadata from 9.7 on and pools have none.
"""

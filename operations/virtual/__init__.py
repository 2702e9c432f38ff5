"""The hypervisor's virtual lab: libvirt, its networks, pools and VMs."""

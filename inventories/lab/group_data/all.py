"""The lab's settings; all others have their defaults in the root's group_data/all.py."""

lab_name = "lab"
# Disks of 10 GB, less what LVM and xfs take.
minimum_disk_mb = 8192
libvirt_bridges = [
    {
        "name": "quaylab",
        "forward": "nat",
        "bridge": "virbr-900",
        "domain": "quaylab.lan",
        "network": "192.168.254.0",
        "broadcast": "192.168.254.255",
        "ip_address": "192.168.254.254",
        "ip_netmask": "255.255.255.0",
        "dhcp_start": "192.168.254.1",
        "dhcp_end": "192.168.254.253",
    }
]
libvirt_pools = [{"virt-pool": {"type": "lvm", "path": "/dev/nvme0n1p2"}}]

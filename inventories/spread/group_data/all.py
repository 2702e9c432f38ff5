"""A registry on machines of their own for each part, with the blobs in Ceph.

For an object store that runs elsewhere, leave the group `ceph` out, and set `storage`.
"""

lab_name = "spread"
server_hostname = "registry.example.com"
quay_version = "v3.18.0"

# Clients use this address, which one of the balancers holds. Its DNS entry is registry.example.com.
virtual_address = "192.0.2.10"

# Of each Ceph machine. Without this line every disk that is unused.
ceph_osd_devices = ("/dev/sdb",)

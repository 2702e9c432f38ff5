"""A registry on machines of their own for each part, with an object store that runs elsewhere.

A run asks for the object store's keys, or takes them from QUAYLAB_STORAGE_ACCESS_KEY and
QUAYLAB_STORAGE_SECRET_KEY.
"""

lab_name = "spread"
server_hostname = "registry.example.com"
quay_version = "v3.18.0"

# Clients use this address, which one of the balancers holds. Its DNS entry is registry.example.com.
virtual_address = "192.0.2.10"

# It holds the blobs, so it must not be lost with one machine either.
storage = "s3"
storage_host = "objects.example.com"

"""The demo's settings; all others have their defaults in the root's group_data/all.py."""

lab_name = "demo"
# Images built from Debian's packages. There is no package of Quay, so a stand-in replaces it.
image_source = "packages"
# The stand-in needs less than Quay.
minimum_cpus = 1
minimum_memory_mb = 1024
minimum_disk_mb = 3072

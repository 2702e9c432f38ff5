"""What the demo has of its own; the rest stands in the root's group_data/all.py."""

lab_name = "demo"
# Built from Debian's packages, with a stand-in where no package exists: for Quay itself.
image_source = "packages"
# The stand-in is content with less than Quay.
minimum_cpus = 1
minimum_memory_mb = 1024
minimum_disk_mb = 3072

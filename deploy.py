"""From bare machines to a verified registry: the tasks in their order."""

from pyinfra import local

# A line each, no loop: pyinfra tells operations apart by their line numbers, and hosts that play
# different parts would disagree on the order of what is included from one line.
local.include("tasks/storage.py")
local.include("tasks/docker.py")
local.include("tasks/images.py")
local.include("tasks/ceph.py")
local.include("tasks/database.py")
local.include("tasks/redis.py")
local.include("tasks/quay.py")
local.include("tasks/verify.py")

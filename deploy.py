"""Deploy a verified registry to bare machines: the tasks in their order."""

from pyinfra import local

# One line for each task, and no loop: pyinfra identifies operations by their line numbers, and
# hosts with different parts would disagree on the order of tasks that one line includes.
local.include("tasks/object_storage.py")
local.include("tasks/subscription.py")
local.include("tasks/docker_storage.py")
local.include("tasks/docker.py")
local.include("tasks/images.py")
local.include("tasks/ceph.py")
local.include("tasks/database.py")
local.include("tasks/redis.py")
local.include("tasks/quay.py")
local.include("tasks/verify.py")

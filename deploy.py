"""Deploy a verified registry to bare machines: the tasks in their order."""

from pyinfra import local

# One line for each task, and no loop: pyinfra orders operations by line numbers. In a loop all
# tasks would have the same line, and hosts with different parts would have different orders.
local.include("tasks/object_storage.py")
local.include("tasks/subscription.py")
local.include("tasks/docker_storage.py")
local.include("tasks/engine.py")
local.include("tasks/images.py")
local.include("tasks/ceph.py")
local.include("tasks/etcd.py")
local.include("tasks/database.py")
local.include("tasks/redis.py")
local.include("tasks/router.py")
local.include("tasks/quay.py")
local.include("tasks/balancer.py")
local.include("tasks/verify.py")

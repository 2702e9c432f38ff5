"""New passwords for database, Redis and superuser, and for Quay's user in Ceph a new secret key.

The keys that encrypt data stay as they are. So does the access key of Quay's user in Ceph.

After a killed run, run it again to finish the rotation. etcd and the routers have no passwords of
their own, but groups that have grown need them.
"""

from pyinfra import local

from operations.runtime.run import Purpose, begin

begin(Purpose.ROTATE)

local.include("tasks/ceph.py")
local.include("tasks/etcd.py")
local.include("tasks/database.py")
local.include("tasks/redis.py")
local.include("tasks/router.py")
local.include("tasks/quay.py")
local.include("tasks/verify.py")

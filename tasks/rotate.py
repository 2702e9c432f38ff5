"""New passwords for database, Redis and superuser, and new keys for Ceph's S3 gateway.

The keys that encrypt data stay as they are.

After a killed run, run it again to finish the rotation.
"""

from pyinfra import local

from operations.runtime.run import Purpose, begin

begin(Purpose.ROTATE)

local.include("tasks/ceph.py")
local.include("tasks/database.py")
local.include("tasks/redis.py")
local.include("tasks/quay.py")
local.include("tasks/verify.py")

"""New passwords for database, Redis and superuser; the keys that encrypt data stay as they are.

Run again after a kill, it finishes the rotation that was begun.
"""

from pyinfra import local

from operations.run import Purpose, begin

begin(Purpose.ROTATE)

local.include("tasks/ceph.py")
local.include("tasks/database.py")
local.include("tasks/redis.py")
local.include("tasks/quay.py")
local.include("tasks/verify.py")

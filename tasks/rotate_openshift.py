"""New passwords for a registry in a cluster: of database, Redis and superuser.

The keys that encrypt data stay as they are. After a killed run, run it again to finish the
rotation.
"""

from pyinfra import local

from operations.openshift.run import begin
from operations.runtime.run import Purpose

begin(Purpose.ROTATE)

local.include("tasks/openshift.py")

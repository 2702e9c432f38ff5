"""Remove what a former container engine has kept since the data was moved away from it, for good.

`--data purge_engine=docker`, or podman, names the engine that the registry has left.
"""

from pyinfra import host

from operations.engines import purge
from operations.runtime.run import Purpose, begin

plan = begin(Purpose.RECOVER)
engine = purge.former(plan)

if host.name in plan.topology.engine_hosts():
    purge.images_removed(name="Remove its images", plan=plan, engine=engine)

    purge.data_removed(
        name="Remove its volumes, and the note of the move", plan=plan, engine=engine
    )

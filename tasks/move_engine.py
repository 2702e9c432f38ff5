"""Move each host's data to the container engine of the settings, one host after the other.

The new engine gets the images while everything runs. Then what runs on a host is stopped, its
volumes are copied and compared, a note on the host names the engine that has the data now, and all
of it starts there before the next host is stopped. The former engine keeps its volumes and images
until tasks/purge_engine.py. After a killed run, run the task again to complete it.
"""

from pyinfra import host

from operations import next_command
from operations.engines import move
from operations.runtime.run import Purpose, begin

plan = begin(Purpose.MOVE_ENGINE)

if host.name in plan.engine_machines:
    move.prepared(name="Install the other engine, and check it", plan=plan)

    move.images_present(name="Copy the images to it", plan=plan)

# The database's hosts, Quay's nodes and the balancers stand in for each other.
for name in host.loop(move.in_order(plan)):  # type: ignore[no-untyped-call]
    if host.name == name:
        move.moved(name=f"Move {name}", plan=plan)

if host.name == plan.topology.first_quay:
    next_command.printed(
        name="Print the next command",
        done=f"The data is in {move.target(plan).title}, which runs everything.",
    )

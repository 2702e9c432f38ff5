"""What a run looks at once a host's engine answers, whichever engine it is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts.engines import host_engine
from facts.machine import Machine as MachineFact
from operations.runtime.commands import fail
from operations.runtime.phases import postpone
from quaylab.checks import lost_data
from quaylab.plan import Plan, foreign_data


@operation()
def as_expected(plan: Plan) -> Generator[StringCommand]:
    """Stop the run if the host holds another registry's data, or lacks data that must be there.

    + plan: the run's plan
    """
    if postpone("looked at when the run comes to it"):
        return
    problems = []
    if report := host.get_fact(MachineFact):
        found = report.using(host_engine().name)
        machines = {**plan.machines, host.name: found}
        problems = foreign_data(replace(plan, machines={host.name: found}))
        problems += lost_data.problems(host.name, machines, plan.topology, plan.volumes_of)
    if problems:
        yield fail("\n".join(problems))
    else:
        host.noop("the host's data belongs to this registry")

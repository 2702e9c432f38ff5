"""Verify that the registry works, and print the summary, on one Quay host alone."""

from pyinfra import host

from operations import summary
from operations.runtime.run import begin
from operations.services import quay
from quaylab.versions import is_legacy

plan = begin()

if host.name == plan.topology.first_quay:
    if not is_legacy(plan.version):
        if plan.is_balanced:
            quay.balanced(name="Wait until the balancer uses Quay", plan=plan)

        quay.verified(name="Verify: log in, push, pull, delete", plan=plan)

    summary.printed(name="Print the summary", plan=plan)

"""The registry in a cluster by Quay's operator: a part of tasks/openshift.py."""

from operations.openshift import objects, operator
from operations.openshift.run import begin_part

plan = begin_part("operator")
description = plan.operator

objects.applied(
    name="Record that Quay's operator makes the registry", plan=plan, objects=[description.note]
)

operator.installed(name="Install Quay's operator", plan=plan)

objects.applied(name="Write Quay's configuration", plan=plan, objects=[description.bundle])

operator.running(name="Have the operator run Quay", plan=plan)

if description.exposure:
    objects.applied(name="Lead clients to Quay", plan=plan, objects=description.exposure)

operator.former_parts_removed(
    name="Remove what the operator made and no longer looks after", plan=plan
)

"""The status of a registry in a cluster: its objects, its pods, its health. It changes nothing."""

from operations.openshift import summary
from operations.openshift.run import begin
from operations.runtime.run import Purpose

plan = begin(Purpose.STATUS)

summary.status_printed(name="Print the registry's status", plan=plan)

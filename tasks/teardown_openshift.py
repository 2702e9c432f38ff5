"""Take a registry in a cluster down: what runs is removed; claims, secrets and credentials stay.

`--data purge=NAME`, with the registry's name, removes them too, for good.
"""

from operations.openshift import teardown
from operations.openshift.run import begin
from operations.runtime.run import Purpose

plan = begin(Purpose.RECOVER)

if plan.is_operated:
    teardown.versions_noted(name="Record the versions of Quay and its operator", plan=plan)

    teardown.operator(name="Remove Quay's operator", plan=plan)

    teardown.operated_registry(name="Remove the QuayRegistry", plan=plan)

    teardown.operated_objects(name="Remove what runs of it", plan=plan)

teardown.objects(name="Remove what runs, and what leads to it", plan=plan)

if plan.registry.purges and plan.is_operated:
    teardown.operated_data(name="Remove the operator's claims, buckets and secrets", plan=plan)

if plan.registry.purges:
    teardown.data(name="Remove claims, secrets and notes", plan=plan)

    teardown.credentials(name="Remove the credentials file", plan=plan)
else:
    teardown.kept_printed(name="Print what is kept", plan=plan)

"""Going back: a dump in the cluster takes the place of the database's content."""

from __future__ import annotations

from operations.runtime.commands import refusals
from quaylab.openshift.backing import DUMPS
from quaylab.openshift.layout import runs_here
from quaylab.openshift.objects import CLAIM
from quaylab.openshift.plan import ClusterPlan
from quaylab.openshift.refusals import data_problems
from quaylab.problems import refuse
from quaylab.versions import is_version


def chosen_dump(plan: ClusterPlan) -> tuple[str, str]:
    """Return the name of the dump to restore, and the version of Quay that its schema is of.

    Raises ``DeployError`` if none is named, if the database runs elsewhere, if a claim is gone, or
    if the settings name another place of the blobs.
    """
    name = plan.registry.settings.restore or ""
    version = name.partition("-to-")[0]
    with refusals():
        if plan.is_operated:
            refuse(
                [
                    "openshift_method: the operator keeps no dumps; restore your backup as "
                    "docs/openshift-operator.md says"
                ]
            )
        if not runs_here(plan.registry.topology, "database"):
            refuse(
                ["database_host: the database runs elsewhere; restore it with its provider's tools"]
            )
        if plan.schema is None:
            refuse(["restore: there is no database of this registry; deploy first"])
        if not is_version(version):
            refuse(
                [
                    f"restore: {name or 'not set'}; name the dump as the upgrade did, such as "
                    "v3.17.4-to-v3.18.0"
                ]
            )
        if (CLAIM.name, DUMPS) not in plan.cluster.found:
            refuse([f"restore: the claim {DUMPS} is gone, and with it all dumps"])
        # Otherwise the task would make empty claims and note another place of the blobs, and the
        # next deploy would use these.
        refuse(data_problems(plan.cluster, plan.registry.settings, plan.template))
    return name, version

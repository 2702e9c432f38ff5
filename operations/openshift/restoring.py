"""Going back: a dump in the cluster takes the place of the database's content."""

from __future__ import annotations

from operations.runtime.commands import refusals
from quaylab.openshift.layout import runs_here
from quaylab.openshift.plan import ClusterPlan
from quaylab.problems import refuse
from quaylab.versions import is_version


def chosen_dump(plan: ClusterPlan) -> tuple[str, str]:
    """Return the name of the dump to restore, and the version of Quay that its schema is of.

    Raises ``DeployError`` if none is named, or if the database runs elsewhere.
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
    return name, version

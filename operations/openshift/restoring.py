"""Going back: a dump in the cluster takes the place of the database's content."""

from __future__ import annotations

import sys
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation
from rich.console import Console

from operations.runtime.commands import refusals
from operations.runtime.phases import postpone
from quaylab.next_command import next_command
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
                ["database_host: the database runs elsewhere; restore it by its provider's means"]
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


@operation()
def next_command_printed(version: str) -> Generator[StringCommand]:
    """Print what to do after a database was restored. It changes nothing.

    + version: the Quay version of the database's schema
    """
    if postpone("printed when the run comes to it"):
        return
    deploy = next_command(sys.argv[1:], "tasks/openshift.py", quay_version=version)
    done = f"The database has the schema of {version}; Quay is stopped."
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{done} Next:\n  {deploy}")
    host.noop("the next command was printed")
    yield from ()

"""The registry's deployments, jobs and pods in a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.openshift.workloads import Workloads as State

CLIENT = '"$(command -v kubectl || command -v oc)"'
KINDS = "deployments.v1.apps,jobs.v1.batch,pods"


class Workloads(FactBase[State]):
    """The state of the registry's deployments, jobs and pods; they hold no secrets.

    + options: kubectl's options for the cluster and the namespace
    + selector: the labels of the registry's objects
    """

    def command(self, options: Iterable[str], selector: str) -> StringCommand:
        words = (*options, "get", KINDS, f"--selector={selector}", "--output=json")
        return StringCommand(CLIENT, *map(QuoteString, words))

    @staticmethod
    def default() -> State:
        return State({}, {}, ())

    def process(self, output: list[str]) -> State:
        return State.of(json.loads("\n".join(output))["items"])

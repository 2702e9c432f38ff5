"""Waiting for what a cluster makes, as long as it gets on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pyinfra.api import Host

from operations.openshift.kubectl import ClusterError
from operations.runtime.commands import complain
from quaylab.openshift.plan import ClusterPlan

# Seconds between two looks.
INTERVAL = 2


@dataclass(frozen=True)
class Look:
    """What a look at the cluster has found.

    Attributes:
        has_failed: whether there is no use in waiting longer.
        reasons: why it is not done, in the cluster's words.
        progress: changes while it gets on; from then on it has its whole time again.
    """

    is_done: bool
    has_failed: bool
    reasons: Callable[[], list[str]]
    progress: object


def until_done(
    host: Host, plan: ClusterPlan, look: Callable[[], Look], failed: str, late: str
) -> bool:
    """Look again and again until it is done; else complain, with the reasons.

    + look: looks at the cluster; a ``ClusterError`` is no answer, and the next look may have one
    + failed: the complaint if it has failed
    + late: the complaint if it no longer gets on for ``health_timeout``
    """
    timeout = plan.registry.settings.health_timeout
    end, reached, silence = time.monotonic() + timeout, None, ""
    found: Look | None = None
    while True:
        try:
            found, silence = look(), ""
        except ClusterError as error:
            silence = str(error)
        if found and not silence:
            if found.is_done:
                return True
            if found.has_failed:
                return complain(host, "\n  ".join([failed, *found.reasons()]))
            if found.progress != reached:
                reached, end = found.progress, time.monotonic() + timeout
        if time.monotonic() > end:
            text = f"{late} within {timeout} s"
            if silence or found is None:
                return complain(host, f"{text}: the cluster does not answer: {silence}")
            return complain(host, "\n  ".join([text, *found.reasons()]))
        time.sleep(INTERVAL)

"""The object store as Quay's hosts reach it, and the location of Quay's blobs."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from quaylab.checks import blob_location
from quaylab.clients.http import dialer
from quaylab.clients.object_store import Client
from quaylab.paths import ETC, STORAGE_NOTE
from tests.hosts.lab import Lab, Target


def test_answers_quays_credentials(
    object_storage_user: Target, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    """At the same endpoint that Quay uses; nothing is written."""
    plan, store = lab.plan, lab.plan.topology.object_store
    assert store
    with dialer(object_storage_user.through) as dial:
        answer = Client(plan.settings, store, plan.credentials, dial).ask()
    assert answer, f"there is no bucket {plan.settings.storage_bucket}"
    record_property(f"object store from {object_storage_user}", str(answer))


def test_quay_has_one_location_and_it_is_the_recorded_one(first_quay: Target, lab: Lab) -> None:
    """Quay finds blobs by the location's name, so it must not change."""
    recorded = first_quay.shell.file(STORAGE_NOTE).content_string.strip()
    plan = lab.plan
    assert (
        recorded
        == blob_location.note(plan.settings, plan.topology, plan.credentials).content.strip()
    )
    config = yaml.safe_load(first_quay.shell.file(f"{ETC}/quay/config.yaml").content_string)
    assert list(config["DISTRIBUTED_STORAGE_CONFIG"]) == [recorded.split()[1]]

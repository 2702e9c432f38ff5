"""Each part's container is the one that a run would make, and it is well."""

from __future__ import annotations

import time

from quaylab.containers import DIGEST_LABEL, NETWORK, RESTART_POLICY
from tests.hosts.lab import Lab, Target
from tests.hosts.places import PartPlace

# The engine asks Quay every 30 s, so a container that was just started is "starting" for a while.
HEALTH_PATIENCE = 60


def test_runs(part: PartPlace) -> None:
    assert part.inspect()["State"]["Status"] == "running"


def test_is_healthy(part_with_health: PartPlace) -> None:
    end = time.monotonic() + HEALTH_PATIENCE
    while True:
        health = part_with_health.inspect()["State"]["Health"]["Status"]
        if health != "starting" or time.monotonic() > end:
            break
        time.sleep(1)
    assert health == "healthy"


def test_is_as_specified(part: PartPlace) -> None:
    digest = part.inspect()["Config"]["Labels"].get(DIGEST_LABEL)
    assert digest == part.part.container.digest, (
        "made from other settings, --data, files or images than these; the next run replaces it"
    )


def test_runs_the_planned_image(part: PartPlace) -> None:
    """By name and by content, as a tag may since have been given to another image."""
    container = part.inspect()
    assert container["Config"]["Image"] == part.part.image.reference
    assert container["Image"] == part.target.engine.images.get(part.part.image.reference).id


def test_comes_back_by_itself(part: PartPlace) -> None:
    assert part.inspect()["HostConfig"]["RestartPolicy"]["Name"] == RESTART_POLICY


def test_has_time_to_stop(part: PartPlace) -> None:
    assert part.inspect()["Config"]["StopTimeout"] == part.part.container.stop_timeout


def test_quay_finishes_what_it_does_before_it_stops(quay_host: Target, lab: Lab) -> None:
    container = quay_host.container(lab.plan.quay[quay_host.name])
    assert container["Config"]["StopTimeout"] >= 60


def test_is_privileged_only_as_the_seed_is(part: PartPlace) -> None:
    assert part.inspect()["HostConfig"]["Privileged"] is part.part.container.privileged


def test_logs_are_rotated(part: PartPlace) -> None:
    wanted = part.part.container
    rotation = {"max-size": wanted.log_size, "max-file": str(wanted.log_files)}
    assert part.inspect()["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": rotation}


def test_is_on_the_internal_network_alone(part: PartPlace) -> None:
    assert list(part.inspect()["NetworkSettings"]["Networks"]) == [NETWORK]


def test_data_volume_says_what_it_holds(part_with_volume: PartPlace) -> None:
    wanted = part_with_volume.part.volume
    assert wanted is not None  # else it were no such part
    volume = part_with_volume.target.engine.volumes.get(wanted.name)
    assert volume.attrs["Labels"] == wanted.labels


def test_data_volume_is_the_one_in_use(part_with_volume: PartPlace) -> None:
    """Else the data would go with the container."""
    wanted = part_with_volume.part.volume
    assert wanted is not None  # else it were no such part
    mounted = {mount.get("Name") for mount in part_with_volume.inspect()["Mounts"]}
    assert wanted.name in mounted

"""Manual changes of what only Podman has: units, services, rules of its network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quaylab.engines import units
from tests.machine.drifting import (
    DATABASE,
    DATABASE_FILES,
    IMAGES,
    PREPARE,
    PUSHED,
    QUAY,
    REDIS,
    REDIS_FILES,
    REDIS_IMAGE,
    REPLACED_QUAY,
    Deployed,
    Drift,
    Registry,
    all_of,
    assert_repaired,
    shell,
    starts,
)
from tests.machine.machines import wait_until
from tests.machine.observed import containers
from tests.machine.page import commands

pytestmark = [pytest.mark.podman, pytest.mark.long]
READY = "tasks/engine.py | Check Podman"
_, STOP_QUAY = commands("operation.md", "Stopping Quay")
REDIS_UNIT = units.path("quaylab-redis")
DATABASE_UNIT = units.path("quaylab-database")
SERVICE = "/etc/systemd/system/quaylab-redis.service"
CHANGED = "somebody has changed quaylab-redis.service; take that back"
# Quadlet reads this folder first. A container that was started from it would be another's.
FIRST = "/run/containers/systemd"
# Somebody else's unit, which does not run, takes the place of Redis'.
TAKE_REDIS_UNIT = (
    f"systemctl stop quaylab-redis && mv {REDIS_UNIT} /root/ours && "
    f"printf '[Container]\\nImage=elsewhere/redis\\n' >{REDIS_UNIT} && systemctl daemon-reload"
)


@pytest.fixture(scope="module")
def registry(deployed: Deployed) -> Iterator[Registry]:
    with deployed("podman") as registry:
        yield registry


def _sql(statement: str) -> str:
    return f'podman exec quaylab-database psql -q -d quay -c "{statement}"'


DRIFTS = {
    "Quay stopped as the page says, a unit removed, a container paused": Drift(
        shell(
            STOP_QUAY,
            f"rm {DATABASE_UNIT}",
            "podman pause quaylab-redis",
        ),
        (DATABASE, REDIS, *REPLACED_QUAY),
        replaced=("quaylab-quay",),
    ),
    "a unit edited, and read by systemd": Drift(
        shell(f"echo 'LogDriver=none' >>{REDIS_UNIT}", "systemctl daemon-reload"), (REDIS,)
    ),
    "units edited and not read, a service masked": Drift(
        shell(
            f"sed -i 's/^RestartSec=.*/RestartSec=99/' {REDIS_UNIT}",
            "systemctl mask quaylab-database",
        ),
        (DATABASE, REDIS),
    ),
    "a unit edited and its container started from it": Drift(
        shell(
            f"sed -i 's/^Environment=.*//; s/specification=..../specification=0000/' {REDIS_UNIT}",
            "systemctl daemon-reload",
            "systemctl restart quaylab-redis",
        ),
        (REDIS,),
        replaced=("quaylab-redis",),
    ),
    "a unit edited beside its labels, and its container started from it": Drift(
        shell(
            f"sed -i 's/^Pull=.*/&\\nPodmanArgs=--privileged/' {REDIS_UNIT}",
            "systemctl daemon-reload",
            "systemctl restart quaylab-redis",
        ),
        (REDIS,),
        replaced=("quaylab-redis",),
    ),
    "a unit edited, without its checksum, and its container started from it": Drift(
        shell(
            f"sed -i 's/^Pull=.*/&\\nPodmanArgs=--privileged/; /^{units.CHECKSUM}/d' {REDIS_UNIT}",
            "systemctl daemon-reload",
            "systemctl restart quaylab-redis",
        ),
        (REDIS,),
        replaced=("quaylab-redis",),
    ),
    "services masked until the next reboot": Drift(
        shell("systemctl mask --runtime quaylab-database quaylab-redis"), (DATABASE, REDIS)
    ),
    "a unit and its container removed": Drift(
        shell(
            f"rm {REDIS_UNIT}; systemctl stop quaylab-redis; systemctl daemon-reload",
        ),
        (REDIS,),
        replaced=("quaylab-redis",),
    ),
    "a unit that a power cut left empty": Drift(
        shell(f"systemctl stop quaylab-redis; : >{REDIS_UNIT}; systemctl daemon-reload"),
        (REDIS,),
        replaced=("quaylab-redis",),
    ),
    "off the network, a file's mode, extension dropped": Drift(
        all_of(
            shell(
                "podman network disconnect quaylab quaylab-redis",
                "chmod 0644 /etc/quaylab/redis/environment",
                _sql("DROP EXTENSION pg_trgm CASCADE"),
            )
        ),
        (PREPARE, REDIS_FILES, REDIS),
        replaced=("quaylab-redis",),
    ),
    "a password in a file, and the database restarted with it": Drift(
        shell(
            "sed -i 's/PASSWORD=.*/PASSWORD=by-hand/' /etc/quaylab/database/environment",
            "systemctl restart quaylab-database",
        ),
        (DATABASE_FILES, DATABASE),
        replaced=("quaylab-database",),
    ),
    "a low weight, left by a killed run": Drift(
        shell("systemctl set-property --runtime quaylab-quay CPUWeight=6"), (QUAY,)
    ),
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS)
def test_drift_is_named_and_repaired(registry: Registry, drift: Drift) -> None:
    assert_repaired(registry, drift)


@pytest.mark.parametrize(
    "end", ["podman stop", "podman rm --force", "podman kill"], ids=lambda end: end.split()[1]
)
def test_systemd_starts_a_container_again_that_ended_without_it(
    registry: Registry, end: str
) -> None:
    machine, before = registry.machine, starts(registry.machine)["quaylab-redis"]
    machine.run(f"{end} quaylab-redis")
    wait_until(lambda: starts(machine).get("quaylab-redis", before) != before, "Redis runs again")
    # Redis is waited for if it isn't healthy yet.
    assert registry.lab.changed() in ([], [REDIS])
    assert registry.client.pull(PUSHED) == registry.image


def test_a_container_that_was_made_by_hand_is_replaced(registry: Registry) -> None:
    """With our labels, and without a unit: nobody would start it after a reboot."""
    machine = registry.machine
    found = containers(machine)["quaylab-redis"]
    labels = " ".join(
        f"--label={key}={value}"
        for key, value in found["Config"]["Labels"].items()
        if key.startswith("io.quaylab")
    )
    machine.run(
        f"systemctl stop quaylab-redis && podman run --detach --name=quaylab-redis {labels} "
        f"--network=quaylab --volume=/etc/quaylab/redis:/etc/quaylab:ro {found['ImageName']} "
        "sleep infinity"
    )
    assert registry.planned() == [REDIS]
    assert registry.lab.changed() == [REDIS]
    assert registry.planned() == []


def test_a_unit_that_is_not_ours_is_refused(registry: Registry) -> None:
    machine, before = registry.machine, starts(registry.machine)
    machine.run(TAKE_REDIS_UNIT)
    for refused in (registry.lab.run(), registry.lab.run("deploy.py", "--dry")):
        assert refused.returncode != 0
        assert "container quaylab-redis was not made by Quaylab" in refused.output
        assert "Traceback" not in refused.output
    assert "elsewhere/redis" in machine.run(f"cat {REDIS_UNIT}").stdout
    machine.run(f"mv /root/ours {REDIS_UNIT}")
    assert registry.lab.changed() == [REDIS]
    del before["quaylab-redis"]
    assert starts(machine).items() > before.items()


def test_a_teardown_leaves_a_unit_that_is_not_ours(registry: Registry) -> None:
    machine = registry.machine
    machine.run(TAKE_REDIS_UNIT)
    done = registry.lab.run("tasks/teardown.py").check()
    assert "container quaylab-redis was not made by Quaylab, and stays" in done.output
    assert "elsewhere/redis" in machine.run(f"cat {REDIS_UNIT}").stdout
    machine.run(f"mv /root/ours {REDIS_UNIT}")
    registry.lab.run().check()
    assert registry.client.pull(PUSHED) == registry.image


@pytest.mark.parametrize(
    ("override", "words", "place", "undo"),
    [
        (
            f"mkdir {SERVICE}.d && printf '[Service]\\nRestart=no\\n' >{SERVICE}.d/override.conf",
            CHANGED,
            f"{SERVICE}.d",
            "systemctl revert quaylab-redis.service",
        ),
        (
            f"systemctl cat quaylab-redis >{SERVICE}",
            CHANGED,
            SERVICE,
            "systemctl revert quaylab-redis.service",
        ),
        (
            f"mkdir -p {FIRST} && cp {REDIS_UNIT} {FIRST}/",
            f"move it away: {FIRST}/quaylab-redis.container",
            f"{FIRST}/quaylab-redis.container",
            f"rm -r {FIRST} && systemctl daemon-reload",
        ),
    ],
    ids=["a drop-in", "a service of the same name", "another unit of the same name"],
)
def test_what_precedes_a_unit_is_told_and_left_alone(
    registry: Registry, override: str, words: str, place: str, undo: str
) -> None:
    machine, before = registry.machine, starts(registry.machine)
    machine.run(f"{override} && systemctl daemon-reload")
    assert registry.planned() == [REDIS]
    refused = registry.lab.run()
    assert refused.returncode != 0
    assert words in refused.output
    assert machine.run(f"ls -d {place}").stdout
    machine.run(undo)
    assert registry.lab.changed() == []
    assert starts(machine) == before


def test_a_drop_in_that_the_generator_refuses_is_told(registry: Registry) -> None:
    machine, before = registry.machine, starts(registry.machine)
    machine.run(
        f"mkdir {REDIS_UNIT}.d && printf '[Container]\\nOdd=1\\n' >{REDIS_UNIT}.d/odd.conf && "
        "systemctl daemon-reload"
    )
    refused = registry.lab.run()
    assert refused.returncode != 0
    assert "Podman's generator makes no service of quaylab-redis" in refused.output
    assert "'Odd'" in refused.output
    machine.run(f"rm -r {REDIS_UNIT}.d && systemctl daemon-reload")
    assert registry.lab.changed() == []
    assert starts(machine) == before


def test_what_the_administrator_gives_to_containers_is_no_drift(registry: Registry) -> None:
    """By a drop-in of Quadlet, and for all containers of the host."""
    machine = registry.machine
    dropin, everywhere = f"{REDIS_UNIT}.d/more.conf", "/etc/containers/containers.conf.d/more.conf"
    more = "[Container]\nEnvironment=DROPIN=1\nPublishPort=127.0.0.1:9121:9121\n"
    machine.run(
        f"mkdir -p {REDIS_UNIT}.d $(dirname {everywhere}) && printf '{more}' >{dropin} && "
        f"printf '[containers]\nenv = [\"TZ=UTC\"]\n' >{everywhere} && "
        "systemctl daemon-reload && systemctl restart quaylab-redis"
    )
    variables = containers(machine)["quaylab-redis"]["Config"]["Env"]
    assert {"DROPIN=1", "TZ=UTC"} <= {*variables}
    # Redis is waited for if it isn't healthy yet.
    assert registry.lab.changed() in ([], [REDIS])
    assert registry.planned() == []
    machine.run(
        f"rm -r {REDIS_UNIT}.d {everywhere} && "
        "systemctl daemon-reload && systemctl restart quaylab-redis"
    )
    assert registry.lab.changed() in ([], [REDIS])


def test_image_removed_while_its_container_runs(registry: Registry) -> None:
    """The image is built again; its name then means the new one, so the container is replaced."""
    image = containers(registry.machine)["quaylab-redis"]["ImageName"]
    registry.machine.run(f"podman untag {image}")
    assert registry.planned() == [IMAGES, REDIS_IMAGE]
    assert registry.lab.changed() == [IMAGES, REDIS]


def test_rules_flushed_from_the_firewall(registry: Registry) -> None:
    """No container is restarted for it."""
    machine, before = registry.machine, starts(registry.machine)
    machine.run("nft flush ruleset")
    assert registry.planned() == [READY]
    assert registry.lab.changed() == [READY]
    assert starts(machine) == before
    assert registry.client.pull(PUSHED) == registry.image


def test_reboot_and_crash_bring_everything_back(registry: Registry) -> None:
    for interrupt in (registry.machine.reboot, registry.machine.crash):
        interrupt()
        # What isn't healthy yet is waited for.
        assert {*registry.lab.changed()} <= {DATABASE, REDIS, *REPLACED_QUAY}
        assert registry.client.pull(PUSHED) == registry.image


def test_nothing_is_left_to_do_afterwards(registry: Registry) -> None:
    assert registry.planned() == []
    assert registry.lab.changed() == []
    registry.lab.verify()

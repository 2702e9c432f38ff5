"""Manual changes: a dry run names just these, and the next run repairs just these.

Drifts of different services share a run if the operations' names distinguish them.
"""

from __future__ import annotations

import datetime as dt
import json
import shlex
from collections.abc import Iterator

import pytest
from cryptography import x509

from quaylab.model import NETWORK
from quaylab.secrets import certificates
from tests.machine.deployment import HOSTNAME
from tests.machine.drifting import (
    BUNDLE,
    DATABASE,
    DATABASE_FILES,
    EVERY_CONTAINER,
    IMAGES,
    NAME,
    PREPARE,
    PUSHED,
    QUAY,
    REDIS,
    REDIS_FILES,
    REDIS_IMAGE,
    REPLACED_QUAY,
    RESTART,
    SAVE,
    START,
    TRUST,
    Change,
    Deployed,
    Drift,
    Registry,
    all_of,
    assert_repaired,
    shell,
    starts,
)
from tests.machine.machines import Machine, wait_until
from tests.machine.observed import containers, redis, rows

DAEMON = "/etc/docker/daemon.json"
CA = f"/etc/docker/certs.d/{HOSTNAME}/ca.crt"
CONFIG = "/etc/quaylab/quay/config.yaml"
DATABASE_ENVIRONMENT = "/etc/quaylab/database/environment"
ROOTS_PROXIES = json.dumps({"proxies": {"default": {"httpsProxy": "http://192.0.2.1:3128"}}})


@pytest.fixture(scope="module")
def registry(deployed: Deployed) -> Iterator[Registry]:
    with deployed("docker") as registry:
        yield registry


def recreated(
    name: str, *options: str, image: str | None = None, other_ports: bool = False
) -> Change:
    """Return a change that removes a container and creates it again, with our labels and one
    difference."""

    def make(machine: Machine) -> None:
        found = containers(machine)[name]
        config, host = found["Config"], found["HostConfig"]
        reference = config["Image"]
        if image:
            machine.run(f"docker tag {reference} {image}")
            reference = image
        ports = [
            f"--publish={bound['HostIp']}:{int(bound['HostPort']) + other_ports}:{inside}"
            for inside, outside in host["PortBindings"].items()
            for bound in outside
        ]
        labels = [f"--label={key}={value}" for key, value in config["Labels"].items()]
        mounts = [f"--volume={bind}" for bind in host["Binds"]]
        environment = [f"--env={each}" for each in config["Env"]]
        argv = [f"--name={name}", f"--network={NETWORK}", "--restart=always", *labels, *mounts]
        argv += [*ports, *environment, *options, reference, *config["Cmd"]]
        machine.run(f"docker rm --force --volumes {name}; docker run --detach {shlex.join(argv)}")

    return make


def sql(statement: str) -> str:
    return f'docker exec quaylab-database psql -q -d quay -c "{statement}"'


DRIFTS = {
    "stopped, paused, removed": Drift(
        shell(
            "docker rm --force quaylab-quay",
            "docker stop quaylab-database",
            "docker pause quaylab-redis",
        ),
        (DATABASE, REDIS, *REPLACED_QUAY),
        replaced=("quaylab-quay",),
        restarted=("quaylab-database",),
    ),
    "removed, stopped, paused": Drift(
        shell(
            "docker pause quaylab-quay",
            "docker rm --force quaylab-database",
            "docker stop quaylab-redis",
        ),
        (DATABASE, REDIS, QUAY),
        replaced=("quaylab-database",),
        restarted=("quaylab-redis",),
        long=True,
    ),
    "paused, removed, stopped": Drift(
        shell(
            "docker stop quaylab-quay",
            "docker pause quaylab-database",
            "docker rm --force quaylab-redis",
        ),
        (DATABASE, REDIS, QUAY),
        replaced=("quaylab-redis",),
        restarted=("quaylab-quay",),
        long=True,
    ),
    "another image, environment, ports": Drift(
        all_of(
            recreated("quaylab-database", image="elsewhere/postgresql:1"),
            recreated("quaylab-redis", "--env=REDIS_ARGS=--appendonly yes"),
            recreated("quaylab-quay", other_ports=True),
        ),
        (DATABASE, REDIS, *REPLACED_QUAY),
        replaced=EVERY_CONTAINER,
    ),
    "other ports, image, environment": Drift(
        all_of(
            recreated("quaylab-database", other_ports=True),
            recreated("quaylab-redis", image="elsewhere/redis:1"),
            recreated("quaylab-quay", "--env=WORKER_COUNT=1"),
        ),
        (DATABASE, REDIS, *REPLACED_QUAY),
        replaced=EVERY_CONTAINER,
        long=True,
    ),
    "another environment, other ports, image": Drift(
        all_of(
            recreated("quaylab-database", "--env=POSTGRESQL_MAX_CONNECTIONS=50"),
            recreated("quaylab-redis", other_ports=True),
            recreated("quaylab-quay", image="elsewhere/quay:1"),
        ),
        (DATABASE, REDIS, *REPLACED_QUAY),
        replaced=EVERY_CONTAINER,
        long=True,
    ),
    "restart policy, a file's mode, a file's owner": Drift(
        shell(
            "docker update --restart=no quaylab-database",
            "chmod 0644 /etc/quaylab/redis/environment",
            "chown root /etc/quaylab/quay/ssl.key",
        ),
        (DATABASE, REDIS_FILES, BUNDLE),
    ),
    "config.yaml edited, the database restarted with another password": Drift(
        shell(
            f"echo 'FEATURE_MAILING: true' >>{CONFIG}",
            f"sed -i 's/PASSWORD=.*/PASSWORD=by-hand/' {DATABASE_ENVIRONMENT}",
            "docker restart quaylab-database",
        ),
        (DATABASE_FILES, DATABASE, BUNDLE, QUAY),
        restarted=("quaylab-database", "quaylab-quay"),
    ),
    "Quay restarted with an edited config.yaml, Redis off the network": Drift(
        shell(
            f"sed -i 's/DEFAULT_TAG_EXPIRATION: .*/DEFAULT_TAG_EXPIRATION: 4w/' {CONFIG}",
            "docker restart quaylab-quay",
            f"docker network disconnect {NETWORK} quaylab-redis",
        ),
        (REDIS, BUNDLE, QUAY),
        replaced=("quaylab-redis",),
        restarted=("quaylab-quay",),
    ),
    "network removed while the containers are down": Drift(
        shell(
            "docker stop quaylab-quay quaylab-redis quaylab-database",
            f"docker network disconnect --force {NETWORK} quaylab-database",
            # The others still have its name, and the id of the removed one.
            f"docker network rm {NETWORK}",
        ),
        (DATABASE, REDIS, *REPLACED_QUAY),
        replaced=EVERY_CONTAINER,
    ),
    "a role's and Redis' password": Drift(
        shell(
            # Until the engine calls Quay healthy, each run asks Quay itself, which is not healthy
            # without its database.
            "until docker inspect --format '{{.State.Health.Status}}' quaylab-quay"
            " | grep -qx healthy; do sleep 1; done",
            sql("ALTER ROLE quay PASSWORD 'by-hand'"),
            redis("docker", "CONFIG SET requirepass x"),
        ),
        (DATABASE, REDIS),
        replaced=("quaylab-database", "quaylab-redis"),
    ),
    "times in the future, a directory in place of a file": Drift(
        shell(
            "touch --date=tomorrow /etc/quaylab/redis/environment",
            "rm /etc/quaylab/quay/ssl.cert; mkdir /etc/quaylab/quay/ssl.cert",
        ),
        (REDIS, BUNDLE, QUAY),
        restarted=("quaylab-redis", "quaylab-quay"),
    ),
    "our directory on another disk, and proxies in root's Docker configuration": Drift(
        shell(
            "mv /etc/quaylab /srv/quaylab && ln -s /srv/quaylab /etc/quaylab",
            f"mkdir -p .docker && echo {shlex.quote(ROOTS_PROXIES)} >.docker/config.json",
            "docker rm --force quaylab-redis",
        ),
        (REDIS,),
        replaced=("quaylab-redis",),
    ),
    "nothing, after a change that needs no repair": Drift(shell(), ()),
    "extension dropped, superuser, CA and name removed": Drift(
        shell(
            sql("DROP EXTENSION pg_trgm CASCADE"),
            sql("ALTER ROLE quay SUPERUSER"),
            f"rm {CA}",
            "sed -i '/# quaylab$/d' /etc/hosts",
        ),
        (TRUST, NAME, PREPARE),
    ),
    "many at once, another CA and a wrong name among them": Drift(
        shell(
            f"echo 'not a certificate' >{CA}",
            "sed -i 's/^127.0.0.1 \\(.*# quaylab\\)$/192.0.2.1 \\1/' /etc/hosts",
            "rm -r /etc/quaylab",
            sql("DROP EXTENSION pg_trgm CASCADE"),
            "docker rm --force quaylab-redis",
            "docker stop quaylab-quay",
        ),
        (TRUST, NAME, DATABASE_FILES, DATABASE, PREPARE, REDIS_FILES, REDIS, BUNDLE, QUAY),
        replaced=("quaylab-redis",),
        restarted=("quaylab-database", "quaylab-quay"),
    ),
}


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(drift, marks=pytest.mark.long if drift.long else [], id=name)
        for name, drift in DRIFTS.items()
    ],
)
def test_drift_is_named_and_repaired(registry: Registry, drift: Drift) -> None:
    assert_repaired(registry, drift)


def test_image_removed_while_its_container_runs(registry: Registry) -> None:
    """The image is built again; its name then means the new one, so the container is replaced."""
    image = containers(registry.machine)["quaylab-redis"]["Config"]["Image"]
    registry.machine.run(f"docker image rm --force {image}")
    assert registry.planned() == [IMAGES, REDIS_IMAGE]
    assert registry.lab.changed() == [IMAGES, REDIS]


def test_image_whose_name_was_given_to_another(registry: Registry) -> None:
    """By `docker tag`, or by a pull of a moved tag: the running container is not replaced."""
    machine, before = registry.machine, starts(registry.machine)
    redis, database = (containers(machine)[f"quaylab-{part}"] for part in ("redis", "database"))
    name, id = redis["Config"]["Image"], redis["Image"]
    machine.run(f"docker tag {database['Image']} {name}")
    for refused in (registry.lab.run("deploy.py", "--dry"), registry.lab.run()):
        assert refused.returncode != 0
        assert f"drifting: {name} is another image" in refused.output
        assert f"docker tag {id} {name}" in refused.output
        assert "Traceback" not in refused.output
    assert starts(machine) == before
    machine.run(f"docker tag {id} {name}")
    assert registry.planned() == []


def test_an_engine_that_does_not_start_is_reported_with_the_reason(registry: Registry) -> None:
    machine = registry.machine
    machine.run("systemctl stop docker.service docker.socket")
    for text, message in (("{", "is not valid JSON"), ('{"no-such": 1}', "no-such")):
        machine.run(f"cat >{DAEMON}", input=text)
        refused = registry.lab.run()
        assert refused.returncode != 0
        assert DAEMON in refused.output
        assert message in refused.output
        assert "Traceback" not in refused.output
    machine.run(f"rm {DAEMON}")
    # The socket may start the engine as soon as somebody connects.
    assert {*registry.lab.changed()} <= {START, QUAY}
    assert registry.client.pull(PUSHED) == registry.image


def test_rules_flushed_from_iptables(registry: Registry) -> None:
    """The engine restores them when it starts; only with live-restore containers keep running."""
    machine = registry.machine
    # A run would also wait for one that is still starting, after the test before.
    wait_until(lambda: _are_healthy(machine), "all containers are healthy")
    flush = "iptables -F; iptables -t nat -F"
    machine.run(flush)
    assert registry.planned() == [START]
    refused = registry.lab.run()
    assert refused.returncode != 0
    assert "the engine's rules are gone from iptables" in refused.output
    machine.run(f"echo '{{\"live-restore\": true}}' >{DAEMON}; systemctl restart docker")
    assert registry.lab.changed() in ([], [QUAY])
    before = starts(machine)
    machine.run(flush)
    assert registry.lab.changed() == [START]
    assert starts(machine) == before
    assert registry.client.pull(PUSHED) == registry.image
    machine.run(f"rm {DAEMON}; systemctl restart docker")
    assert registry.lab.changed() in ([], [QUAY])


def test_a_proxy_that_is_no_longer_set_is_removed(registry: Registry) -> None:
    proxy = "http://192.0.2.1:3128"
    registry.lab.run("tasks/engine.py", f"--data=https_proxy={proxy}").check()
    asked = "docker info --format '{{.HTTPSProxy}}'; ls /etc/systemd/system/docker.service.d"
    assert registry.machine.run(asked).stdout.splitlines() == [proxy, "quaylab-proxy.conf"]
    assert registry.planned()[0] == RESTART
    assert RESTART in registry.lab.changed()
    assert registry.machine.run(asked).stdout.splitlines() == [""]


def test_engine_stopped_and_disabled(registry: Registry) -> None:
    """Containers of a stopped engine can't be seen, so a dry run expects to create them all."""
    data = rows(registry.machine)
    registry.machine.run("systemctl disable --now docker.service docker.socket")
    assert START in registry.planned()
    # Containers start in parallel: Quay is waited for if it comes up before the database.
    assert registry.lab.changed() in ([START], [START, QUAY])
    assert registry.machine.run("systemctl is-enabled docker").stdout == "enabled\n"
    assert rows(registry.machine) == data


def test_a_run_without_credentials_is_refused_even_if_the_engine_is_stopped(
    registry: Registry,
) -> None:
    """Its volumes can't be seen, but a Quay host's note names the owner of the blobs."""
    store, before = registry.lab.store, containers(registry.machine)
    saved = store.load(environment={})
    registry.machine.run("systemctl stop docker.service docker.socket")
    store.remove()
    refused = registry.lab.run()
    assert refused.returncode != 0
    assert f"on drifting belongs to the credentials {saved.identity}" in refused.output
    store.save(saved)
    assert registry.lab.changed() in ([START], [START, QUAY])
    assert containers(registry.machine).keys() == before.keys()
    assert registry.client.pull(PUSHED) == registry.image


def test_certificate_near_its_end_is_renewed(registry: Registry) -> None:
    """By the same CA, so that nobody notices."""
    store = registry.lab.store
    saved = store.load(environment={})
    now = dt.datetime.now(dt.timezone.utc)
    issued = now - certificates.LEAF_LIFE + dt.timedelta(days=20)
    aged = saved.model_copy(update={"certificate": None})
    store.save(certificates.with_server_certificate(aged, HOSTNAME, now=issued))
    renewal = [BUNDLE, *REPLACED_QUAY]
    assert registry.planned() == [SAVE, *renewal]
    assert registry.lab.changed() == [SAVE, *renewal]
    renewed = store.load(environment={})
    assert renewed.certificate
    assert renewed.ca_certificate == saved.ca_certificate
    leaf = x509.load_pem_x509_certificate(renewed.certificate.encode())
    assert leaf.not_valid_after_utc - now > dt.timedelta(days=300)
    assert registry.client.pull(PUSHED) == registry.image


def test_volume_with_a_wrong_label_or_none_is_refused(registry: Registry) -> None:
    """A label can't be changed in place, so the test recreates the volume with its data."""
    machine = registry.machine
    data, before = rows(machine), containers(machine)
    del before["quaylab-database"]  # which the test removes
    labels = json.loads(
        machine.run("docker volume inspect -f '{{json .Labels}}' quaylab-database").stdout
    )
    machine.run("docker rm --force quaylab-database")
    wrong = {**labels, "io.quaylab.data": "postgresql-9.6"}
    for found, message in (
        (wrong, "volume quaylab-database on drifting is of postgresql-9.6"),
        ({}, "volume quaylab-database was not made by Quaylab"),
    ):
        _relabel(machine, found)
        for refused in (registry.lab.run(), registry.lab.run("deploy.py", "--dry")):
            assert refused.returncode != 0
            assert message in refused.output
            assert "Traceback" not in refused.output
        now = containers(machine)
        assert {name: each["Id"] for name, each in now.items()} == {
            name: each["Id"] for name, each in before.items()
        }
    _relabel(machine, labels)
    assert registry.lab.changed() == [DATABASE]
    assert rows(machine) == data
    assert registry.client.pull(PUSHED) == registry.image


def test_nothing_is_left_to_do_afterwards(registry: Registry) -> None:
    assert registry.planned() == []
    assert registry.lab.changed() == []
    registry.lab.verify()


def _are_healthy(machine: Machine) -> bool:
    return all(
        each["State"]["Health"]["Status"] == "healthy" for each in containers(machine).values()
    )


def _relabel(machine: Machine, labels: dict[str, str]) -> None:
    options = shlex.join(f"--label={key}={value}" for key, value in labels.items())
    data = "/var/lib/docker/volumes/quaylab-database/_data"
    machine.run(
        f"mv {data} /var/lib/docker/aside && docker volume rm quaylab-database && "
        f"docker volume create {options} quaylab-database && "
        f"rmdir {data} && mv /var/lib/docker/aside {data}"
    )

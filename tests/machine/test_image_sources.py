"""Images pulled from a registry with a login and a company's CA, and loaded from an archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest

from quaylab.images import base_image
from quaylab.secrets import certificates, credentials
from quaylab.versions import NEWEST
from tests.leaks import leaked
from tests.machine import engines
from tests.machine.deployment import Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator, run
from tests.machine.registry_client import RegistryClient

pytestmark = [engines.FOR_BOTH, pytest.mark.long_with_podman]
MIRROR = "images.quaylab.test"
USER, PASSWORD = "puller", "a-password-to-pull"
SETTINGS = {
    "quay_image": f"{MIRROR}/quaylab/quay",
    "postgresql_image": f"{MIRROR}/quaylab/postgresql-17:1",
    "redis_image": f"{MIRROR}/quaylab/redis-8:1",
}
NAMES = {
    "quay": f"quaylab/quay:{NEWEST}",
    "postgresql": "quaylab/postgresql-17:1",
    "redis": "quaylab/redis-8:1",
}


@dataclass(frozen=True)
class Mirror:
    """A company's registry with copies of the images."""

    client: RegistryClient
    ca: Path
    pull_secret: Path


@pytest.fixture(scope="module")
def mirror(
    machine_factory: MachineFactory,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mirror]:
    """Debian's docker-registry over TLS, asking for a password."""
    folder = tmp_path_factory.mktemp("mirror")
    machine = machine_factory("mirror", "stocked")
    made = certificates.with_server_certificate(credentials.generate(), MIRROR)
    served = certificates.server_certificate(made)
    assert served.ca is not None
    login = f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n"
    files = {"cert": served.certificate, "key": served.key.get_secret_value(), "login": login}
    machine.run("mkdir -p /srv/mirror")
    for name, content in files.items():
        machine.run(f"cat >/srv/mirror/{name}", input=content)
    machine.run(
        "docker run --detach --publish 443:5000 --user 0 --volume /srv/mirror:/srv/mirror:ro "
        "--env REGISTRY_HTTP_TLS_CERTIFICATE=/srv/mirror/cert "
        "--env REGISTRY_HTTP_TLS_KEY=/srv/mirror/key "
        "--env REGISTRY_AUTH=htpasswd --env REGISTRY_AUTH_HTPASSWD_REALM=mirror "
        "--env REGISTRY_AUTH_HTPASSWD_PATH=/srv/mirror/login "
        f"--entrypoint docker-registry {images['quay']} serve /etc/docker/registry/config.yml"
    )
    client = RegistryClient(machine, MIRROR)
    client.know("127.0.0.1")
    client.trust(served.ca)
    assert client.login(USER, PASSWORD).returncode == 0
    for part, name in NAMES.items():
        client.push(images[part], name)
    ca, secret = folder / "company.pem", folder / "config.json"
    ca.write_text(served.ca)
    secret.write_text(machine.run("cat /root/.docker/config.json").stdout)
    yield Mirror(client, ca, secret)
    machine.destroy()


@pytest.fixture(scope="module")
def machine(machine_factory: MachineFactory, engine: ImageName) -> Iterator[Machine]:
    machine = machine_factory("site", engine)
    yield machine
    machine.destroy()


@pytest.fixture
def lab(
    machine: Machine, operator: Operator, mirror: Mirror, tmp_path: Path
) -> Iterator[Deployment]:
    known = f"{mirror.client.machine.address} {MIRROR}"
    machine.run(f"grep -q '{known}' /etc/hosts || echo '{known}' >>/etc/hosts")
    groups = {part: [machine] for part in ("database", "redis", "quay")}
    chosen = {**SETTINGS, **engines.settings(machine.engine)}
    lab = Deployment.of(operator, tmp_path, groups, image_source="registry", **chosen)
    yield lab
    lab.forget()


def test_failed_pull_names_the_remedies_and_changes_nothing(
    lab: Deployment, machine: Machine
) -> None:
    refused = lab.run()
    assert refused.returncode != 0
    assert "Traceback" not in refused.output
    (line,) = [line for line in refused.output.splitlines() if "can't be pulled" in line]
    for remedy in ("https_proxy", "company_ca", "pull_secret", "image_source=archive", "lab demo"):
        assert remedy in line
    for nothing in ("ps -aq", "volume ls -q", "images -q"):
        assert machine.run(f"{machine.engine} {nothing}").stdout == ""
    machine.run('test ! -e /etc/quaylab || test -z "$(ls -A /etc/quaylab)"')


def test_pulls_with_the_companys_ca_and_a_login(
    lab: Deployment, machine: Machine, mirror: Mirror, images: dict[str, str]
) -> None:
    existing = {
        "auths": {"elsewhere.example.com": {"auth": "b3duOnNlY3JldA=="}},
        "detachKeys": "ctrl-x",
    }
    machine.run(
        "mkdir -p /root/.docker; cat >/root/.docker/config.json", input=json.dumps(existing)
    )
    given = (
        *("--data", f"company_ca={mirror.ca}"),
        *("--data", f"pull_secret={mirror.pull_secret}"),
    )
    result = lab.run("deploy.py", "-vvv", "--diff", *given).check()
    token = json.loads(mirror.pull_secret.read_text())["auths"][MIRROR]["auth"]
    logins = {"given": token, "password": PASSWORD, "existing": "b3duOnNlY3JldA"}
    assert leaked(logins, result.output) == []
    merged = json.loads(machine.run("cat /root/.docker/config.json").stdout)
    assert merged["detachKeys"] == "ctrl-x"
    assert sorted(merged["auths"]) == ["elsewhere.example.com", MIRROR]
    assert machine.run("stat -c '%a %U' /root/.docker/config.json").stdout == "600 root\n"
    assert lab.run("deploy.py", *given).changed() == []
    lab.verify(*given, "-k", "companys_ca or pull_secret")

    # The same image with another registry's digest is not another image.
    wanted, mirrored = SETTINGS["redis_image"], f"{MIRROR}/quaylab/another-redis:1"
    client = machine.engine
    machine.run(f"{client} tag {wanted} {mirrored} && {client} push {mirrored}")
    assert lab.run("deploy.py", *given).changed() == []

    # The tag is moved to another image, and pulled by hand.
    running = client + " inspect --format '{{.Id}} {{.State.StartedAt}}' quaylab-redis"
    before = machine.run(running).stdout
    mirror.client.push(images["postgresql"], NAMES["redis"])
    machine.run(f"{client} pull {wanted}")
    refused = lab.run("deploy.py", *given)
    assert refused.returncode != 0
    assert "is another image than the one that was fetched there before" in refused.output
    assert machine.run(running).stdout == before

    # Without the image here, the run itself would pull it.
    machine.run(f"{engines.remove(client, 'quaylab-redis')} && {client} image rm {wanted}")
    refused = lab.run("deploy.py", *given)
    assert refused.returncode != 0
    assert "is another image than the one that was fetched there before" in refused.output
    assert machine.run(f"{client} images -q {SETTINGS['redis_image']}").stdout == ""
    lab.run("tasks/teardown.py", *given, "--data", "purge=quay.quaylab.test").check()
    # For the other engine.
    mirror.client.push(images["redis"], NAMES["redis"])


def test_archive_needs_no_network(
    lab: Deployment, machine: Machine, images: dict[str, str], tmp_path: Path
) -> None:
    """Tested with Redis alone, the smallest image."""
    archive = tmp_path / "images.tar"
    wanted = SETTINGS["redis_image"]
    machine.run(f"{machine.engine} image prune --all --force")
    offline = (*("--data", "image_source=archive"), *("--data", f"image_archive={archive}"))

    run("docker", "save", "--output", str(archive), base_image().reference)
    refused = lab.run("tasks/redis.py", *offline)
    assert refused.returncode != 0
    assert f"does not hold {wanted}" in refused.output
    assert machine.run(f"{machine.engine} ps -aq").stdout == ""

    run("docker", "tag", images["redis"], wanted)
    run("docker", "save", "--output", str(archive), wanted)
    run("docker", "image", "rm", wanted)
    lab.run("tasks/redis.py", *offline).check()
    assert lab.run("tasks/redis.py", *offline).changed() == []

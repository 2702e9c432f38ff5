"""Quay: its image, its bundle and its container."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab import topology
from quaylab.services import BY_NAME, quay
from quaylab.services.base import Audience, Context, Groups
from tests.unit import balanced, clustered
from tests.unit.samples import certified, context, host, settings, workload
from tests.unit.states import engine


def test_the_images_tag_is_its_version() -> None:
    wanted = settings(quay_image="registry.example.com:5000/quay", quay_version="v3.17.4")
    assert quay.image(wanted).reference == "registry.example.com:5000/quay:v3.17.4"


def test_packaged_quay_calls_itself_a_stand_in() -> None:
    image = quay.image(settings(image_source="packages"))
    assert image.reference.startswith("quaylab/quay-standin:v3.18.0-")
    assert dict(image.arguments)["QUAY_VERSION"] == "v3.18.0"


@pytest.mark.parametrize(("port", "count"), [(443, 1), (80, 0), (8443, 0)])
def test_http_and_https_cannot_have_the_same_port(port: int, count: int) -> None:
    problems = list(
        BY_NAME["quay"].setting_problems(settings(quay_http_port=port), {"balancer": ()})
    )
    assert len(problems) == count
    assert all(each.startswith("quay_http_port: 443 is quay_https_port too") for each in problems)


def test_bundle() -> None:
    files = workload("quay").files
    content = {Path(file.path).name: file.content for file in files}
    assert set(content) == {"config.yaml", "ssl.cert", "ssl.key"}
    assert yaml.safe_load(content["config.yaml"])["SERVER_HOSTNAME"] == "quay.example.com"
    assert content["ssl.cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" in content["ssl.key"]
    assert {(file.uid, file.mode) for file in files} == {(1001, 0o600)}


def test_it_trusts_the_companys_ca(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("a certificate")
    files = workload("quay", company_ca=authority).files
    (trusted,) = [file for file in files if "extra_ca_certs" in file.path]
    assert trusted.content == "a certificate"


@pytest.mark.parametrize(
    ("service", "name"), [("database", "database.pem"), ("redis", "redis.pem")]
)
def test_cas_of_services_elsewhere_are_in_the_bundle(
    tmp_path: Path, service: str, name: str
) -> None:
    authority = tmp_path / "ca.pem"
    digests = []
    for content in ("a certificate", "another"):
        authority.write_text(content)
        changes: dict[str, Any] = {f"{service}_ca": authority}
        node = workload("quay", **changes)
        (file,) = [file for file in node.files if file.path == f"/etc/quaylab/quay/{name}"]
        assert (file.content, file.uid, file.mode) == (content, 1001, 0o600)
        digests.append(node.container.digest)
    assert digests[0] != digests[1], "a new CA is a new container"


def test_ports_and_mounts() -> None:
    container = workload("quay", quay_http_port=9080).container
    assert [str(port) for port in container.ports] == ["0.0.0.0:443:8443", "0.0.0.0:9080:8080"]
    assert {mount.target: mount.read_only for mount in container.mounts} == {
        "/conf/stack": True,
        "/datastorage": False,
    }


def test_no_redirect_to_a_port_where_the_registry_is_not() -> None:
    """Quay itself redirects to 443, whatever its port is."""
    container = workload("quay", quay_https_port=8443, quay_http_port=8080).container
    assert [str(port) for port in container.ports] == ["0.0.0.0:8443:8443"]


def test_health_is_checked_seldom_because_each_check_adds_lines_to_the_log() -> None:
    assert workload("quay").container.health_interval == 30


def test_it_does_not_migrate_by_itself_and_has_time_to_stop() -> None:
    container = workload("quay").container
    assert container.command == ("registry-nomigrate",)
    assert container.stop_timeout >= 60


@pytest.mark.parametrize(
    ("memory_mb", "given", "workers"), [(4096, None, "3"), (4096, 6, "6"), (65536, None, "8")]
)
def test_workers(memory_mb: int, given: int | None, workers: str) -> None:
    node = workload("quay", memory_mb=memory_mb, quay_workers=given)
    environment = dict(node.container.environment)
    assert environment["WORKER_COUNT"] == workers
    assert environment["WORKER_COUNT_UNSUPPORTED_MINIMUM"] == workers


def test_without_a_proxy_it_has_no_proxy_variables() -> None:
    names = dict(workload("quay", no_proxy="example.org").container.environment)
    assert not [name for name in names if "PROXY" in name]


def test_its_services_are_exempt_from_the_proxy() -> None:
    proxy = "http://proxy.example.com:3128"
    node = workload("quay", https_proxy=proxy, no_proxy="example.org")
    environment = dict(node.container.environment)
    assert environment["HTTPS_PROXY"] == proxy
    assert "HTTP_PROXY" not in environment
    exempt = environment["NO_PROXY"].split(",")
    assert {"quay.example.com", "quaylab-database", "quaylab-redis", "example.org"} <= {*exempt}


def test_keys_of_a_role_are_asked_for_without_a_proxy() -> None:
    at_aws: dict[str, Any] = {"storage": "s3", "storage_region": "eu-west-1"}
    at_aws["storage_iam_role"] = True
    node = workload("quay", http_proxy="http://proxy.example.com:3128", **at_aws)
    assert "169.254.169.254" in dict(node.container.environment)["NO_PROXY"].split(",")


@pytest.mark.parametrize("feature", ["FEATURE_REPO_MIRROR", "FEATURE_ORG_MIRROR"])
def test_mirroring_trusts_the_registrys_own_certificate(feature: str) -> None:
    credentials = certified()

    def files(**changes: Any) -> dict[str, str]:
        found = workload("quay", credentials=credentials, **changes).files
        return {each.path.rpartition("/")[2]: each.content for each in found}

    assert "lab.crt" not in files()
    assert files(quay_config={feature: True})["lab.crt"] == credentials.ca_certificate


def test_blobs_are_stored_in_the_given_directory() -> None:
    volume = workload("quay", quay_storage_path="/srv/blobs").volume
    assert volume
    assert (volume.path, volume.uid) == ("/srv/blobs", 1001)


# --- Quay 2.9 ---

LEGACY: dict[str, Any] = {"quay_version": "v2.9.1", "quay_image": "quay.io/coreos/quay"}


def test_legacy_quay_keeps_its_old_contract() -> None:
    node = workload("quay", **LEGACY)
    container = node.container
    assert container.image == "quay.io/coreos/quay:v2.9.1"
    assert container.privileged
    assert [str(port) for port in container.ports] == ["0.0.0.0:443:443", "0.0.0.0:80:80"]
    assert container.command == ()
    assert node.files == ()  # its wizard writes the bundle
    assert not any(mount.read_only for mount in container.mounts)


def test_legacy_quay_takes_a_license(tmp_path: Path) -> None:
    license_file = tmp_path / "license"
    license_file.write_text("licensed")
    (file,) = workload("quay", **LEGACY, quay_license=license_file).files
    assert (file.path, file.content) == ("/etc/quaylab/quay/license", "licensed")
    assert file.mode == 0o600


# --- several nodes ---

NODE = "quay1.example.com"
TWO_NODES = {"balancer": (), "quay": (NODE, "quay2.example.com"), "ceph": ()}


def _refused(groups: Groups, **changes: Any) -> list[str]:
    wanted, service = settings(**changes), BY_NAME["quay"]
    return [
        *service.setting_problems(wanted, groups),
        *service.placement_problems(wanted, groups),
    ]


@pytest.mark.parametrize(
    ("balancers", "changes"),
    [
        (1, {"quay_instances": 4}),
        (2, {"quay_instances": 2, **balanced.SHARED}),
        (0, {"balancer_host": "lb.example.com", **balanced.SHARED}),
    ],
    ids=["on one host", "two balancers", "elsewhere"],
)
def test_several_nodes_that_work(balancers: int, changes: dict[str, Any]) -> None:
    quays = 2 if "storage" in changes else 1
    assert _refused(topology.groups(balanced.inventory(balancers, quays)), **changes) == []


def test_several_containers_on_a_host_need_a_balancer() -> None:
    (problem,) = _refused({**TWO_NODES, "quay": (NODE,)}, quay_instances=2)
    assert problem == (
        "quay_instances: 2 containers on a host need a balancer in front of them; put a host into "
        "group `balancer`, which may be the same one"
    )


@pytest.mark.parametrize(("port", "refused"), [(65534, False), (65535, True)])
def test_every_container_needs_a_port_that_exists(port: int, refused: bool) -> None:
    groups = {**TWO_NODES, "quay": (NODE,), "balancer": ("lb1.example.com",)}
    problems = _refused(groups, quay_instances=2, quay_node_port=port)
    message = (
        f"quay_node_port: {port} with 2 containers on a host would need port {port + 1}; set one "
        "of at most 65534"
    )
    assert problems == ([message] if refused else [])


def test_a_balancer_elsewhere_does_not_find_a_hosts_second_container() -> None:
    changes = {"quay_instances": 2, "balancer_host": "lb.example.com"}
    (problem,) = _refused({**TWO_NODES, "quay": (NODE,)}, **changes)
    assert problem.startswith("quay_instances: 2 containers on a host need a balancer")


def test_several_hosts_need_a_balancer() -> None:
    (problem,) = _refused(TWO_NODES, **balanced.SHARED)
    assert problem == (
        "quay: 2 hosts in group `quay`, and nothing sends clients to them all; put hosts into "
        "group `balancer`, set balancer_host to one that runs elsewhere, or keep one host"
    )


def test_several_hosts_need_an_object_store() -> None:
    (problem,) = _refused({**TWO_NODES, "balancer": ("lb1.example.com",)})
    assert problem == (
        "quay: 2 hosts in group `quay`, but the blobs are in a volume, which only one host has; "
        "set `storage` to an object store, or keep one host"
    )


def test_quay_2_9_has_no_balancer() -> None:
    groups = {**TWO_NODES, "quay": (NODE,), "balancer": ("lb1.example.com",)}
    (problem,) = _refused(groups, quay_version="v2.9.1", quay_image="quay.io/coreos/quay")
    assert problem == (
        "quay_version: Quay 2.9 runs without a balancer; leave the group `balancer` out, or set a "
        "newer version"
    )


def _one_host(**changes: Any) -> Context:
    """Return a run in which one host has everything, a balancer as well."""
    name = "quay.example.com"
    both = host(name, ["balancer", "quay", "database", "redis"], address="192.168.254.10")
    return context(balanced.build([both], **changes), **changes)


def test_behind_a_balancer_only_balancers_reach_a_node() -> None:
    ports = BY_NAME["quay"].ports(balanced.run(quay_instances=2), NODE)
    assert [(str(port.published), port.setting, port.audience) for port in ports] == [
        ("192.168.254.31:8443:8443", "quay_node_port", Audience.BALANCERS),
        ("192.168.254.31:8444:8443", "quay_node_port", Audience.BALANCERS),
    ]


def test_a_hosts_containers_differ_in_name_and_port_only() -> None:
    first, second = BY_NAME["quay"].workloads(_one_host(quay_instances=2), "quay.example.com")
    assert (first.container.name, second.container.name) == ("quaylab-quay", "quaylab-quay-2")
    assert [str(port) for port in second.container.ports] == ["192.168.254.10:8444:8443"]
    assert first.files == second.files
    assert first.container.mounts == second.container.mounts
    assert first.volume == second.volume
    assert first.container.environment == second.container.environment


@pytest.mark.parametrize(("instances", "memory_mb"), [(1, 4096), (2, 8192), (4, 16384)])
def test_a_hosts_containers_share_its_memory(instances: int, memory_mb: int) -> None:
    run = balanced.run(quay_instances=instances)
    machines = {name: balanced.report(name, memory_mb=memory_mb) for name in run.machines}
    run = dataclasses.replace(run, machines=machines)
    for each in BY_NAME["quay"].workloads(run, NODE):
        assert dict(each.container.environment)["WORKER_COUNT"] == "3"


def test_an_interruption_is_announced_only_if_no_other_node_serves() -> None:
    (alone,) = BY_NAME["quay"].workloads(_one_host(), "quay.example.com")
    assert "clients find no registry" in alone.interruption
    run = balanced.run()
    (first_time,) = BY_NAME["quay"].workloads(run, NODE)
    assert first_time.interruption == alone.interruption, "no balancer runs yet"
    (haproxy,) = BY_NAME["balancer"].workloads(run, "lb1.example.com")
    report = balanced.report("lb1.example.com", state=engine(haproxy.container))
    run = dataclasses.replace(run, machines={**run.machines, "lb1.example.com": report})
    (one_of_two,) = BY_NAME["quay"].workloads(run, NODE)
    assert one_of_two.interruption == ""


# --- database and Redis on several hosts ---


def test_all_nodes_have_the_same_bundle() -> None:
    """Each reaches database and Redis at its own router, which has one name everywhere."""
    run = clustered.run()
    bundles = {
        name: {
            file.path: (file.sha256, file.uid, file.mode)
            for file in clustered.workload("quay", run, name).files
        }
        for name in run.topology.quay
    }
    first, *others = bundles.values()
    assert len(others) == 2
    assert all(each == first for each in others)


def test_a_node_reaches_the_router_and_verifies_the_members() -> None:
    run = clustered.run(redis_port=6380, database_port=5433, http_proxy="http://proxy:3128")
    node = clustered.workload("quay", run)
    content = {Path(file.path).name: file.content for file in node.files}
    config = yaml.safe_load(content["config.yaml"])
    assert config["DB_CONNECTION_ARGS"]["sslmode"] == "verify-full"
    assert config["DB_CONNECTION_ARGS"]["sslrootcert"] == "conf/stack/database.pem"
    assert "@quaylab-router:5432/quay?sslmode=verify-full" in config["DB_URI"]
    for key in ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS"):
        assert (config[key]["host"], config[key]["port"]) == ("quaylab-router", 6379)
    assert content["database.pem"] == run.credentials.ca_certificate
    assert "quaylab-router" in dict(node.container.environment)["NO_PROXY"].split(",")


def test_a_new_certificate_of_the_members_replaces_no_node() -> None:
    run = clustered.run()
    changed = run.credentials.model_copy(update={"database_certificate": "another"})
    after = dataclasses.replace(run, credentials=changed)
    assert clustered.workload("quay", after) == clustered.workload("quay", run)

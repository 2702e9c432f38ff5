"""The objects of a registry in a cluster."""

from __future__ import annotations

import base64
import dataclasses
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab.openshift import backing, pods, quay
from quaylab.openshift.objects import CLAIM, OWNER
from quaylab.services import quay as quay_service
from quaylab.services import quay_config
from quaylab.services.quay_connections import connections
from tests.authority import Authority
from tests.leaks import leaked
from tests.unit import cluster_schemas, clusters, samples
from tests.unit.clusters import S3, SCOPE, describe, everything, manifests
from tests.unit.shell import Shell

# Kubernetes' supported minor versions.
VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
VARIANTS: dict[str, dict[str, Any]] = {
    "route": {},
    "ingress": {"openshift_exposure": "ingress"},
    "load balancer": {"openshift_exposure": "loadbalancer", "quay_https_port": 8443},
    "object store": S3,
    "all elsewhere": {**S3, "database_host": "db.example.com", "redis_host": "redis.example.com"},
    "known inside": {
        "database_host": "pg-rw.databases.svc",
        "redis_host": "redis.caches.svc.cluster.local",
    },
    "upgrade": {"schema": "v3.17.4"},
    "plain Kubernetes": {"is_openshift": False, "openshift_exposure": "ingress"},
}
RESIZING = {"type": "Resizing", "status": "True", "message": "by the driver"}


def _pods(found: Any) -> Iterator[dict[str, Any]]:
    for manifest in manifests(found):
        if template := manifest.get("spec", {}).get("template"):
            yield template["spec"]


def _containers(found: Any) -> Iterator[dict[str, Any]]:
    for pod in _pods(found):
        yield from (*pod["containers"], *pod.get("initContainers", ()))


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The manifests of all variants, each once."""
    secret = clusters.pull_secret(tmp_path_factory.mktemp("secret"))
    found = [
        json.dumps(manifest)
        for variant in VARIANTS.values()
        for manifest in manifests(describe(**variant, pull_secret=secret))
    ]
    return [json.loads(text) for text in dict.fromkeys(found)]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_follow_the_schemas(version: str, variants: list[dict[str, Any]]) -> None:
    is_known = dataclasses.replace(clusters.CLUSTER, version=f"v{version}.0").evicts_unready
    budgets = [
        manifest
        for manifest in manifests(describe(evicts_unready=is_known, **S3))
        if manifest["kind"] == "PodDisruptionBudget"
    ]
    for manifest in (*variants, *budgets):
        cluster_schemas.check(manifest, version)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_secrets_are_in_secrets_alone(variant: dict[str, Any]) -> None:
    for manifest in manifests(describe(**variant)):
        if manifest["kind"] != "Secret":
            text = json.dumps(manifest)
            assert leaked(samples.SECRETS, text) == []
            assert "PRIVATE KEY" not in text


def test_no_object_shows_a_secret_when_it_is_printed() -> None:
    text = repr(everything(describe()))
    assert leaked(samples.SECRETS, text) == []


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_the_restricted_constraint_admits_the_pods(variant: dict[str, Any]) -> None:
    """As the pod security standard `restricted` and OpenShift's restricted-v2 ask for it."""
    found = describe(**variant)
    for pod in _pods(found):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        # OpenShift chooses user and groups itself, and refuses others than its own.
        assert "runAsUser" not in security
        assert ("fsGroup" in security) is not variant.get("is_openshift", True)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not [each for each in pod.get("volumes", ()) if "hostPath" in each]
        assert pod["automountServiceAccountToken"] is False
    for container in _containers(found):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "runAsUser"} & security.keys()


def test_a_container_has_requests_and_a_limit_of_memory() -> None:
    for container in _containers(describe(schema="v3.17.4")):
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


def test_digests_change_with_the_content_and_only_then() -> None:
    first, again = manifests(describe()), manifests(describe())
    assert first == again
    other = {
        (each["kind"], each["metadata"]["name"]): each["metadata"]["annotations"]
        for each in manifests(describe(redis_image="quay.io/sclorg/redis-7-c9s:other"))
    }
    changed = [
        (each["kind"], each["metadata"]["name"])
        for each in first
        if other[each["kind"], each["metadata"]["name"]] != each["metadata"]["annotations"]
    ]
    assert changed == [("Deployment", "quaylab-redis")]


def test_a_changed_bundle_replaces_quays_pods_alone() -> None:
    def configurations(**changes: Any) -> dict[str, str]:
        return {
            each["metadata"]["name"]: each["spec"]["template"]["metadata"]["annotations"][
                "quaylab.io/configuration"
            ]
            for each in manifests(describe(**changes))
            if each["kind"] == "Deployment"
        }

    before = configurations()
    after = configurations(quay_config={"FEATURE_PROXY_CACHE": True})
    assert [name for name in before if before[name] != after[name]] == ["quaylab-quay"]


# --- the same as on machines ---


def _bundle(found: Any) -> dict[str, str]:
    (secret,) = [each for each in found.foundation if each.name == quay.BUNDLE]
    return {key: base64.b64decode(text).decode() for key, text in secret.content["data"].items()}


def test_the_bundle_is_the_one_of_a_single_machine() -> None:
    """There, too, Quay finds database and Redis by these names: so not even addresses differ."""
    hostname = clusters.GIVEN["server_hostname"]
    machine = samples.one_host(server_hostname=hostname)
    credentials = samples.certified(hostname)
    context = samples.context(machine, credentials, server_hostname=hostname)
    on_machine = quay_service.bundle(
        context, quay_config.build(context.settings, machine, credentials)
    )
    in_cluster = _bundle(describe())
    assert yaml.safe_load(in_cluster["config.yaml"]) == yaml.safe_load(on_machine["config.yaml"])
    assert in_cluster.keys() == on_machine.keys()


def test_the_bundle_is_the_one_of_several_machines_but_for_addresses() -> None:
    changes: dict[str, Any] = {**S3, "server_hostname": "quay.example.com"}
    hosts = [
        samples.host("quay.example.com", ("quay",), address="192.0.2.1", **changes),
        samples.host("db.example.com", ("database", "redis"), address="192.0.2.2", **changes),
    ]
    machines = samples.build(hosts, **changes)
    credentials = samples.with_storage_keys(samples.certified())
    on_machines = quay_config.build(samples.settings(**changes), machines, credentials)
    cluster = clusters.context(**S3)
    in_cluster = yaml.safe_load(_bundle(describe(**S3))["config.yaml"])
    different = {key for key in on_machines if on_machines[key] != in_cluster.get(key)}
    # The storage keys are random, and others in each.
    assert different <= {
        "DB_URI",
        "BUILDLOGS_REDIS",
        "USER_EVENTS_REDIS",
        "PULL_METRICS_REDIS",
        "DISTRIBUTED_STORAGE_CONFIG",
    }
    assert on_machines.keys() == in_cluster.keys()
    for redis in ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS", "PULL_METRICS_REDIS"):
        assert {**on_machines[redis], "host": ""} == {**in_cluster[redis], "host": ""}
    assert connections(cluster.settings, cluster.topology)["database"] == ("quaylab-database", 5432)


def test_files_in_folders_keep_their_places(tmp_path: Path) -> None:
    ca = Authority.new().save(tmp_path / "ca.pem")
    found = describe(company_ca=ca)
    assert _bundle(found)["extra_ca_certs_company.crt"] == ca.read_text()
    deployment = found.quay[0].content["spec"]["template"]["spec"]
    (bundle,) = [each for each in deployment["volumes"] if each["name"] == "bundle"]
    assert {"key": "extra_ca_certs_company.crt", "path": "extra_ca_certs/company.crt"} in bundle[
        "secret"
    ]["items"]


def test_quay_has_the_variables_that_it_has_on_machines() -> None:
    changes: dict[str, Any] = {"http_proxy": "http://proxy.example.com:3128", "quay_workers": 3}
    on_machine = samples.workload("quay", **changes, server_hostname="quay.example.com")
    pod = describe(**changes).quay[0].content["spec"]["template"]["spec"]
    in_cluster = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert in_cluster == dict(on_machine.container.environment)


# --- what is there, and what is not ---


def _names(found: Any) -> set[str]:
    return {str(each) for each in everything(found)}


def test_what_runs_elsewhere_has_no_objects() -> None:
    here, elsewhere = _names(describe(**S3)), _names(describe(**VARIANTS["all elsewhere"]))
    assert here - elsewhere == {
        "Deployment quaylab-database",
        "Deployment quaylab-redis",
        "PersistentVolumeClaim quaylab-database",
        "PersistentVolumeClaim quaylab-dumps",
        "Secret quaylab-database",
        "Secret quaylab-redis",
        "Service quaylab-database",
        "Service quaylab-redis",
        *(name for name in here if name.startswith("Job quaylab-reach-")),
    }


def test_logins_of_what_is_known_inside_are_tried_there() -> None:
    given = VARIANTS["known inside"]
    pod = describe(**given).reach.content["spec"]["template"]["spec"]
    (login,) = pod["containers"]
    assert login["command"][-2:] == ["database", "redis"]
    # After the addresses.
    assert [each["name"] for each in pod["initContainers"]] == ["reach"]
    (volume,) = pod["volumes"]
    assert volume["secret"]["secretName"] == "quaylab-quay-bundle"
    # Another password is tried again, and what is known outside is not tried there.
    names = {describe(**given, quay_config=each).reach.name for each in ({}, {"A_KEY": 1})}
    assert len(names) == 2
    outside = describe(**VARIANTS["all elsewhere"]).reach.content["spec"]["template"]["spec"]
    assert [each["name"] for each in outside["containers"]] == ["reach"]


def test_several_pods_are_replaced_one_by_one() -> None:
    deployment, budget = describe(**S3).quay
    assert deployment.content["spec"]["replicas"] == 2
    assert deployment.content["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    assert budget.content["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("changes", "limit", "memory"),
    [
        (S3, "300", "2048Mi"),
        ({**S3, "openshift_replicas": 1}, None, "1024Mi"),
        ({}, None, "1024Mi"),
    ],
)
def test_several_pods_get_more_connections_of_the_database(
    changes: dict[str, Any], limit: str | None, memory: str
) -> None:
    (deployment,) = describe(**changes).database
    (server,) = deployment.content["spec"]["template"]["spec"]["containers"]
    values = {each["name"]: each.get("value") for each in server["env"]}
    assert values.get("POSTGRESQL_MAX_CONNECTIONS") == limit
    assert server["resources"]["limits"] == {"memory": memory}


def test_a_pod_that_is_not_ready_may_be_evicted() -> None:
    """While the database is away none is, and none could be moved off its node."""
    for is_known in (False, True):
        _, budget = describe(evicts_unready=is_known, **S3).quay
        policy = budget.content["spec"].get("unhealthyPodEvictionPolicy")
        assert policy == ("AlwaysAllow" if is_known else None)


def test_a_pod_with_a_volume_goes_before_the_next_one_comes() -> None:
    (deployment,) = describe().quay
    assert deployment.content["spec"]["replicas"] == 1
    assert deployment.content["spec"]["strategy"] == {"type": "Recreate"}


def test_a_slow_start_is_not_killed_before_a_run_complains_of_it() -> None:
    (container,) = (
        describe(health_timeout=300).quay[0].content["spec"]["template"]["spec"]["containers"]
    )
    probe = container["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == 3 * 300
    # It ends by itself, since not every kubelet ends what outlives its time.
    name, seconds, *_ = probe["exec"]["command"]
    assert name == "timeout"
    assert int(seconds) < probe["timeoutSeconds"]


def test_a_pod_has_the_time_that_its_end_takes() -> None:
    pod = describe(**S3).quay[0].content["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (_, _, script) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert "sleep 15" in script
    assert ":20FB " in script  # 8443 in hexadecimal digits
    assert pod["terminationGracePeriodSeconds"] == 15 + 60 + quay_service.STOP_TIMEOUT


def test_quay_finds_a_file_where_it_looks_for_a_token() -> None:
    """It doesn't start in a cluster without; a token of the API it has not."""
    found = describe()
    for each in (found.quay[0], found.migration):
        pod = each.content["spec"]["template"]["spec"]
        (mount,) = [
            mount
            for mount in pod["containers"][0]["volumeMounts"]
            if mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        ]
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
        assert [item["path"] for item in volume["downwardAPI"]["items"]] == ["token"]


def test_a_dump_is_made_before_an_upgrade_alone() -> None:
    assert describe().dump is None
    assert describe(schema="v3.18.0").dump is None
    dump = describe(schema="v3.17.4").dump
    assert dump
    assert dump.name == "quaylab-dump-v3-17-4-to-v3-18-0"
    assert describe(schema="v3.17.4", database_host="db.example.com").dump is None


def test_a_migration_is_noted_as_begun_and_then_no_dump_is_made() -> None:
    begun = describe(schema="v3.17.4").begun
    assert begun
    assert begun.content["data"]["schema"] == "migrating v3.17.4 to v3.18.0"
    elsewhere = describe(schema="v3.17.4", database_host="db.example.com")
    assert elsewhere.begun
    assert elsewhere.begun.content["data"]["schema"] == "migrating v3.17.4 to v3.18.0"
    for schema in (None, "v3.18.0", "migrating v3.17.4 to v3.18.0"):
        again = describe(schema=schema)
        assert again.begun is None
        assert again.dump is None


def test_a_claim_keeps_its_size_until_it_is_bound() -> None:
    found = {each.key: SCOPE.manifest(each) for each in describe().foundation}
    found["PersistentVolumeClaim", "quaylab-dumps"]["status"] = {"phase": "Pending"}
    found["PersistentVolumeClaim", "quaylab-database"]["status"] = {"phase": "Bound"}
    sizes = {
        each.name: each.content["spec"]["resources"]["requests"]["storage"]
        for each in describe(found=found, openshift_database_gb=30).foundation
        if each.kind is CLAIM
    }
    assert sizes["quaylab-dumps"] == "10Gi"
    assert sizes["quaylab-database"] == "30Gi"


@pytest.mark.parametrize(("name", "code"), [("v3.17.4-to-v3.18.0", 0), ("v3.17.3", 1)])
def test_a_dump_is_looked_for(tmp_path: Path, name: str, code: int) -> None:
    host = Shell(tmp_path)
    host.stub("pg_restore", 'test -e "$4"')
    (tmp_path / "v3.17.4-to-v3.18.0").touch()
    script = quay.CHECK.replace("/dumps", str(tmp_path))
    done = host.run(shlex.join([*pods.shell(script), name]))
    assert done.returncode == code
    if code:
        assert "v3.17.3 is no dump that can be restored; the claim has:" in done.stdout
        assert "v3.17.4-to-v3.18.0" in done.stdout


@pytest.mark.parametrize(
    ("status", "lack"),
    [
        ({}, None),
        ({"capacity": {"storage": "30Gi"}}, None),
        # Some provisioners round up.
        ({"capacity": {"storage": "32Gi"}, "conditions": [RESIZING]}, None),
        ({"capacity": {"storage": "10240Mi"}}, "its volume has 10240Mi of 30Gi"),
        (
            {"capacity": {"storage": "10Gi"}, "conditions": [RESIZING]},
            "its volume has 10Gi of 30Gi; Resizing: by the driver",
        ),
    ],
    ids=["unbound", "as asked", "larger", "smaller", "resizing"],
)
def test_a_volume_that_has_not_grown(status: dict[str, Any], lack: str | None) -> None:
    spec = {"resources": {"requests": {"storage": "30Gi"}}}
    assert backing.shortage({"spec": spec, "status": status}) == lack


def test_only_quay_and_its_jobs_reach_database_and_redis() -> None:
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in manifests(describe())
        if each["kind"] == "NetworkPolicy"
    }
    for name, port in (("quaylab-database", 5432), ("quaylab-redis", 6379)):
        (rule,) = policies[name]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": port}]
        components = [
            each["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for each in rule["from"]
        ]
        assert components == ["quay", "database-client"]
    assert "from" not in policies["quaylab-quay"]["ingress"][0]
    assert "ingress" not in policies["quaylab-database-client"]


def test_every_pod_is_under_a_policy() -> None:
    found = manifests(describe(schema="v3.17.4"))
    selectors = [
        each["spec"]["podSelector"]["matchLabels"]
        for each in found
        if each["kind"] == "NetworkPolicy"
    ]
    for each in found:
        if template := each.get("spec", {}).get("template"):
            labels = template["metadata"]["labels"]
            assert [one for one in selectors if one.items() <= labels.items()]


def test_services_lead_to_pods_at_their_ports() -> None:
    found = manifests(describe(openshift_exposure="loadbalancer"))
    pods = [each["spec"]["template"] for each in found if each["kind"] == "Deployment"]
    services = [each for each in found if each["kind"] == "Service"]
    assert len(services) == 4
    for service in services:
        selector = service["spec"]["selector"].items()
        (pod,) = [each for each in pods if selector <= each["metadata"]["labels"].items()]
        (port,) = service["spec"]["ports"]
        (container,) = pod["spec"]["containers"]
        assert port["targetPort"] in [each["containerPort"] for each in container["ports"]]


def test_all_objects_bear_their_owner() -> None:
    for manifest in manifests(describe()):
        assert manifest["metadata"]["labels"][OWNER] == samples.CREDENTIALS.fingerprint


def test_logins_are_a_secret_of_the_pods(tmp_path: Path) -> None:
    found = describe(pull_secret=clusters.pull_secret(tmp_path))
    (secret,) = [each for each in found.foundation if each.name == pods.PULL_SECRET]
    logins = json.loads(base64.b64decode(secret.content["data"][".dockerconfigjson"]))
    assert logins == {"auths": {"quay.io": {"auth": "dXNlcjpwYXNz"}}}
    for pod in _pods(found):
        assert pod["imagePullSecrets"] == [{"name": pods.PULL_SECRET}]

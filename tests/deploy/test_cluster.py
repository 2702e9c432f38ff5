"""Database and Redis on three hosts, which are Quay's and the balancers' as well: the order of a
first run, and a second one that changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from facts.machine import Machine
from quaylab import plan as plans
from quaylab.checks.fetched_images import note_path
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL, NETWORK, VERSION_LABEL, Container
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services import patroni, patroni_config
from quaylab.services.base import Workload, member_name
from tests.deploy.project import (
    ENGINE,
    Project,
    Result,
    container,
    fake,
    older_quay,
    report,
    volume,
)
from tests.unit.samples import CREDENTIALS, host

HOSTS = {name: f"192.168.254.5{number}" for number, name in enumerate(("one", "two", "three"), 1)}
ONE, TWO, THREE = HOSTS
HOSTNAME = "registry.example.com"
GROUPS = ("balancer", "quay", "database", "redis")
# Three Quay hosts need an object store: our own Ceph, on a host of its own.
STORE, STORE_ADDRESS = "store", "192.168.254.60"
# Deploy's tasks that fake hosts can do: a bucket is made over SSH or on @local only.
TASKS = ("engine", "images", "etcd", "database", "redis", "router", "quay", "balancer")
SERVERS = ("etcd", "database", "redis", "router")
OPTIONS = (f"--data=server_hostname={HOSTNAME}",)
# What etcdctl says of the members while all are well.
WELL = "\n".join(f"https://{each}:2379 is healthy: took = 9ms" for each in HOSTS.values())
# The superuser is made over SSH or on @local only, so a first run on fake hosts ends here.
END = "Create the superuser"
DATABASE = {"character_set": "UTF8", "role_superuser": False, "extensions": {"pg_trgm": "1.6"}}


def _report(name: str, address: str, *lines: str) -> str:
    own = [f"own_address {address}", f"network eth0 {address}/24"]
    return "\n".join([report(address=address), *own, *lines])


def _addresses() -> dict[str, str]:
    return {**HOSTS, STORE: STORE_ADDRESS}


def _made(project: Project, **changes: Any) -> Plan:
    """Save credentials as an earlier run would have; return the plan of a run with them."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir(mode=0o700)
    store.save(CREDENTIALS)
    given = {"server_hostname": HOSTNAME, **changes}
    hosts, machines = [], {}
    for name, address in _addresses().items():
        groups = GROUPS if name in HOSTS else ("ceph",)
        hosts.append(host(f"@fake/{name}", groups, ssh_hostname=address, **given))
        machines[f"@fake/{name}"] = Machine().process(_report(name, address).splitlines())
    made = plans.make(hosts, machines, store)
    store.save(made.credentials)
    return made


def _patroni(made: Plan, name: str, leader: str) -> str:
    """Return what a member's Patroni tells once all are up."""
    roles = {**dict.fromkeys(HOSTS, "replica"), leader: "leader"}
    roles[next(each for each in HOSTS if each != leader)] = "sync_standby"
    members = [
        {
            "name": member_name(f"@fake/{each}"),
            "role": role,
            "state": "running" if role == "leader" else "streaming",
            "lag": 0,
        }
        for each, role in roles.items()
    ]
    loaded = patroni.wanted_digest(made, f"@fake/{name}")
    own = {"name": member_name(f"@fake/{name}"), "version": "4.0.9", "scope": "quaylab"}
    found = {
        "patroni": {"patroni": own, "tags": {patroni_config.TAG: loaded}},
        "cluster": {"members": members},
        "config": patroni_config.dynamic_settings(),
    }
    return json.dumps(found)


def _inventory(
    project: Project,
    made: Plan,
    lines: Mapping[str, list[str]],
    leader: str | None = ONE,
    etcd: Mapping[str, str] | None = None,
    dumps: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Write the inventory; return its path.

    Args:
        lines: what each host reports of its engine; none: it is new.
        leader: the host that leads the database; none: no member runs.
        etcd: what each host's etcd lists as its members, where it answers; by default all do, and
            list all.
        dumps: what hosts tell of their dumps.
        more: further answers of all members.
    """
    if etcd is None:
        etcd = dict.fromkeys(HOSTS, _members(*ALL))
    members = [
        fake(
            name,
            _report(name, address, *lines.get(name, ())),
            {
                # One command that asks many facts: each is asked by itself instead.
                "quaylab-fact": "",
                "member list": etcd.get(name, ""),
                "endpoint health": WELL,
                "What Patroni tells": _patroni(made, name, leader) if leader else "",
                "flock --shared": (dumps or {}).get(name, ""),
                "pg_available_extensions": json.dumps(DATABASE),
                "%u %g %a": _files(made, name) if name in lines else "",
                "named=$(docker ps": "\n".join(lines.get(name, ())),
                "switchover --leader": {"stdout": "503 Switchover failed"},
                "identities()": _images(made, name) if name in lines else "",
                **(more or {}),
            },
            ssh_hostname=address,
        )
        for name, address in HOSTS.items()
    ]
    store = fake(STORE, _report(STORE, STORE_ADDRESS), ssh_hostname=STORE_ADDRESS)
    return project.inventory(**dict.fromkeys(GROUPS, members), ceph=[store])


def _parts(result: Result, operation: str) -> list[str]:
    """Return the output of each operation of that name."""
    parts = result.output.split("--> Starting operation: ")
    return [part for part in parts if part.partition("\n")[0].rstrip().endswith(f"| {operation}")]


def _started(output: str, name: str) -> list[str]:
    """Return the hosts in the order in which a container was started there."""
    begin = f"docker run --detach --name=quaylab-{name} "
    lines = [line for line in output.splitlines() if ">>>" in line and begin in line]
    return [line.partition("]")[0].rpartition("/")[2] for line in lines]


# --- the first run ---


@pytest.fixture(scope="module")
def first(shared_project: Project) -> Result:
    made = _made(shared_project)
    inventory = _inventory(shared_project, made, {})
    tasks = shared_project.deploy_file(TASKS)
    return shared_project.run("-y", "-vv", inventory, tasks, *OPTIONS)


def test_each_service_comes_after_those_it_uses(first: Result) -> None:
    order = [
        "Get the images",
        "Wait until every host has its images",
        "Start etcd where it does not run",
        "Run etcd as specified",
        "Wait until etcd runs",
        "Start the database's members if none leads",
        "Set the passwords of the database's roles",
        "Run the database's member as specified",
        "Load the files of the database's member",
        "Keep the settings of the database's cluster",
        "Wait until a second member has every write",
        "Prepare Quay's database",
        "Run Redis",
        "Wait until database and Redis run",
        "Run the router",
        "Check database, Redis and storage with Quay's credentials",
        "Migrate the database's schema",
        "Start Quay where it does not run",
    ]
    positions = [first.operations.index(name) for name in order]
    assert positions == sorted(positions)
    assert first.operations[-1] == END


def test_all_members_of_etcd_start_at_once(first: Result) -> None:
    """None of a new cluster is healthy alone."""
    (own,) = _parts(first, "Start etcd where it does not run")
    assert sorted(_started(own, "etcd")) == sorted(HOSTS)


@pytest.mark.parametrize("service", ["database", "redis", "router"])
def test_others_start_one_after_the_other(first: Result, service: str) -> None:
    """The first database host founds the cluster."""
    assert _started(first.output, service) == list(HOSTS)


def test_each_member_follows_before_the_next_one_is_started(first: Result) -> None:
    owns = _parts(first, "Run the database's member as specified")
    assert [_started(own, "database") for own in owns] == [[name] for name in HOSTS]


def test_the_schema_is_migrated_once(first: Result) -> None:
    migrating = [name for name in HOSTS if any("migrate head" in c for c in first.commands(name))]
    assert migrating == [ONE]


def test_no_secret_is_shown(first: Result, shared_project: Project) -> None:
    credentials = Store("quaylab", shared_project.credentials.parent).load()
    for key in ("database", "replication", "rewind", "patroni", "redis"):
        secret = getattr(credentials, f"{key}_password").get_secret_value()
        assert secret not in first.output
    assert "PRIVATE KEY" not in first.output


def test_the_run_ends_without_a_traceback(first: Result) -> None:
    assert first.code == 1
    assert "Traceback" not in first.output
    assert "only SSH and @local hosts can" in first.output


# --- the second run ---


def _state(wanted: Container, images: dict[str, str], **changes: Any) -> str:
    """Return what the engine says of a container that runs as specified."""
    ports: dict[str, list[dict[str, str]]] = {}
    for port in wanted.ports:
        outside = {"HostIp": port.address, "HostPort": str(port.host)}
        ports.setdefault(f"{port.container}/tcp", []).append(outside)
    labels = {
        CREDENTIALS_LABEL: wanted.owner,
        DIGEST_LABEL: wanted.digest,
        VERSION_LABEL: wanted.version,
    }
    networks = {} if wanted.host_network else {NETWORK: {"NetworkID": "n1"}}
    found = {
        "Id": "c0ffee",
        "Image": images[wanted.image],
        "Name": f"/{wanted.name}",
        "State": {
            "Status": "running",
            "StartedAt": "2026-01-31T12:00:00.0Z",
            "Health": {"Status": "healthy"},
        },
        "HostConfig": {"PortBindings": ports, "RestartPolicy": {"Name": "always"}},
        "Mounts": [{"Source": each.source, "Destination": each.target} for each in wanted.mounts],
        "Config": {
            "Image": wanted.image,
            "Env": [f"{name}={value}" for name, value in wanted.environment],
            "Cmd": list(wanted.command),
            "Labels": {**labels, **changes},
        },
        "NetworkSettings": {"Networks": networks},
    }
    return f"object {json.dumps(found)}"


def _servers(made: Plan, name: str) -> list[Workload]:
    return [each for each in made.workloads_of(f"@fake/{name}") if each.service in SERVERS]


def _files(made: Plan, name: str) -> str:
    """Return the answer to a question for files that are as specified."""
    files = [file for each in _servers(made, name) for file in each.files]
    return "\n".join(f"{f.uid} {f.gid} {f.mode:o} {f.sha256} {f.path}" for f in files)


def _identities(made: Plan, name: str) -> dict[str, str]:
    """Return the ids of a host's images."""
    references = dict.fromkeys(image.reference for image in made.images_of(f"@fake/{name}"))
    return {reference: f"sha256:{number}" for number, reference in enumerate(references)}


def _images(made: Plan, name: str) -> str:
    """Return the answer to a question for images that are those first fetched."""
    found = _identities(made, name).items()
    return "\n".join(f"{reference}|{identity}|{identity}" for reference, identity in found)


def _running(made: Plan, name: str, **changes: dict[str, Any]) -> list[str]:
    """Return the lines of a host's report on which database, Redis and their companions run.

    Args:
        changes: other labels of containers, by service.
    """
    images = _identities(made, name)
    network = {"Name": NETWORK, "Id": "n1", "Internal": False, "IPAM": {}}
    lines = [ENGINE, f"object {json.dumps(network)}"]
    for reference, identity in images.items():
        found = {"Id": identity, "RepoTags": [reference], "RepoDigests": [], "Config": {"Env": []}}
        lines.append(f"object {json.dumps(found)}")
        lines.append(f"image_note {note_path(reference)} {identity}")
    for each in _servers(made, name):
        wanted, changed = each.container, changes.get(each.service, {})
        lines.append(_state(wanted, images, **changed))
        lines.append(container(wanted.name, wanted.digest, wanted.owner))
        lines += [f"file 900.0 {file.sha256}  {file.path}" for file in each.files]
        if each.volume:
            lines.append(volume(each.volume.name, dict(each.volume.labels)))
    return lines


def _stopped(made: Plan, name: str) -> list[str]:
    """Return the lines of a host's report that has volumes and no containers."""
    volumes = [each.volume for each in _servers(made, name) if each.volume]
    return [ENGINE, *(volume(each.name, dict(each.labels)) for each in volumes)]


def _second(project: Project, leader: str = ONE, **changes: dict[str, Any]) -> Result:
    made = _made(project)
    lines = {name: _running(made, name, **changes) for name in HOSTS}
    inventory = _inventory(project, made, lines, leader)
    return project.run("-y", "-vv", inventory, project.deploy_file(SERVERS), *OPTIONS)


def test_a_second_run_changes_nothing(project: Project) -> None:
    result = _second(project)
    assert result.code == 0, result.output
    assert {name: result.commands(name) for name in HOSTS} == {name: [] for name in HOSTS}


@pytest.mark.parametrize(
    ("leader", "order"),
    [(ONE, [TWO, THREE, ONE]), (TWO, [ONE, THREE, TWO]), (THREE, [ONE, TWO, THREE])],
)
def test_members_are_replaced_one_after_the_other_and_the_leader_last(
    project: Project, leader: str, order: list[str]
) -> None:
    """A leader from which nobody takes over is not replaced."""
    result = _second(project, leader, database={DIGEST_LABEL: "older"})
    assert result.code == 1
    assert _started(result.output, "database") == order[:2]
    assert "no other member takes over: 503 Switchover failed" in result.output
    assert "Traceback" not in result.output
    assert "Run Redis" not in result.operations


def test_members_whose_certificate_has_expired_load_another_one_before_any_is_awaited(
    project: Project,
) -> None:
    """The files are written anew. None of the running ones answers, so who leads isn't known."""
    made = _made(project)
    lines = {name: _running(made, name) for name in HOSTS}
    inventory = _inventory(project, made, lines, leader=None, more={"%u %g %a": ""})
    options = (*OPTIONS, "--data=health_timeout=10")
    result = project.run("-y", "-vv", inventory, project.deploy_file(SERVERS), *options)
    (loading,) = _parts(result, "Load the files of members that do not answer")
    reload = "docker kill --signal=HUP quaylab-database"
    assert sum(">>>" in each and reload in each for each in loading.splitlines()) == len(HOSTS)
    # Nobody leads on fake hosts.
    assert result.operations[-1] == "Run the database's member as specified"
    assert "Traceback" not in result.output


# --- a growth, by other tasks than deploy.py's ---


def _grown(project: Project, task: str) -> Result:
    """Run a task when the group of a single database has grown, and etcd runs nowhere."""
    made = _made(project)
    data = made.workload("database", f"@fake/{ONE}").volume
    assert data
    single = older_quay(made.credentials.fingerprint).replace("quaylab-quay", "quaylab-database")
    lines = {ONE: (ENGINE, single, volume(data.name, dict(data.labels)))}
    first, *others = (
        fake(
            name,
            _report(name, address, *lines.get(name, ())),
            {"quaylab-fact": "", "named=$(docker ps": "\n".join(lines.get(name, ()))},
            ssh_hostname=address,
        )
        for name, address in HOSTS.items()
    )
    inventory = project.inventory(quay=[first], redis=[first], database=[first, *others])
    options = (*OPTIONS, "--data=health_timeout=10")
    return project.run("-y", "-vv", inventory, task, *options)


def test_a_single_database_runs_on_until_etcd_does(project: Project) -> None:
    result = _grown(project, "tasks/database.py")
    assert result.code == 1
    assert (
        "@fake/one keeps its database as it is: etcd does not answer; a majority of its members "
        "has to run; ./lab up starts all of them"
    ) in result.output
    assert _started(result.output, "database") == []
    assert not [each for each in result.commands(ONE) if "docker stop" in each]
    assert "Traceback" not in result.output


def test_a_rotation_starts_etcd_before_a_member_of_the_database_needs_it(project: Project) -> None:
    result = _grown(project, "tasks/rotate.py")
    names = ["Run etcd as specified", "Wait until etcd runs", "Get the database's image"]
    positions = [result.operations.index(name) for name in names]
    assert positions == sorted(positions)
    assert set(_started(result.output, "etcd")) == set(HOSTS)


# --- a router that is no longer needed ---


def test_a_former_router_leaves_redis_its_port_and_goes(project: Project) -> None:
    """Redis had several hosts; now it is on Quay's alone, and publishes at loopback as the router
    did."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir(mode=0o700)
    store.save(CREDENTIALS)
    groups = {ONE: ("quay", "database", "redis"), TWO: ("redis",)}
    before = plans.make(
        [
            host(f"@fake/{name}", parts, ssh_hostname=HOSTS[name], server_hostname=HOSTNAME)
            for name, parts in groups.items()
        ],
        {
            f"@fake/{name}": Machine().process(_report(name, HOSTS[name]).splitlines())
            for name in groups
        },
        store,
    )
    store.save(before.credentials)
    lines = [ENGINE]
    for each in before.workloads_of(f"@fake/{ONE}"):
        wanted = each.container
        lines.append(_state(wanted, _identities(before, ONE)))
        lines.append(container(wanted.name, wanted.digest, wanted.owner))
        if each.volume:
            lines.append(volume(each.volume.name, dict(each.volume.labels)))
    answers = {"quaylab-fact": "", "named=$(docker ps": "\n".join(lines)}
    first = fake(ONE, _report(ONE, HOSTS[ONE], *lines), answers, ssh_hostname=HOSTS[ONE])
    inventory = project.inventory(quay=[first], database=[first], redis=[first])
    result = project.run("-y", "-vv", inventory, "deploy.py", *OPTIONS)
    names = [
        "Have the router give up Redis' port",
        "Run Redis",
        "Run Quay",
        "Remove a former router",
        END,
    ]
    positions = [result.operations.index(name) for name in names]
    assert positions == sorted(positions)
    (giving,) = _parts(result, names[0])
    assert "docker stop quaylab-router" in giving
    assert "Have the router give up the database's port" not in result.operations
    assert "Traceback" not in result.output


# --- after a teardown ---


def test_members_without_containers_start_at_once(project: Project) -> None:
    """One that followed before needs the others' votes to lead."""
    made = _made(project)
    lines = {name: _stopped(made, name) for name in HOSTS}
    inventory = _inventory(project, made, lines, leader=None)
    options = (*OPTIONS, "--data=health_timeout=10")
    result = project.run("-y", "-vv", inventory, project.deploy_file(SERVERS), *options)
    (own,) = _parts(result, "Start the database's members if none leads")
    assert sorted(_started(own, "database")) == sorted(HOSTS)
    # Nobody leads on fake hosts.
    assert "no member leads the database after 10 s" in own
    assert "Run the database's member as specified" not in result.operations
    assert "Traceback" not in result.output


# --- one member is new ---


def _members(*names: str) -> str:
    """Return what etcd lists: each has the address of its host, or one that no host has now."""
    addresses = {member_name(f"@fake/{name}"): address for name, address in HOSTS.items()}
    urls = [f"https://{addresses.get(name, '192.168.254.99')}:2380" for name in names]
    listed = enumerate(zip(names, urls, strict=True))
    return "\n".join(f"id{at}, started, {name}, {url}, , false" for at, (name, url) in listed)


ALL = tuple(member_name(f"@fake/{name}") for name in HOSTS)


def _third(project: Project, *listed: str, is_new: bool = True) -> Result:
    """Run with a third host that is new, or has its volumes, while the etcd of the others lists
    these members."""
    made = _made(project)
    lines = {name: _running(made, name) for name in (ONE, TWO)}
    if not is_new:
        lines[THREE] = _stopped(made, THREE)
    etcd = dict.fromkeys((ONE, TWO), _members(*listed))
    inventory = _inventory(project, made, lines, etcd=etcd)
    tasks = project.deploy_file(("engine", "images", "etcd"))
    return project.run("-y", "-vv", inventory, tasks, *OPTIONS)


@pytest.mark.parametrize("listed", [ALL, ALL[:2]], ids=["data lost", "new"])
def test_a_host_without_data_joins_the_others(project: Project, listed: tuple[str, ...]) -> None:
    result = _third(project, *listed)
    assert result.code == 0, result.output
    assert _started(result.output, "etcd") == [THREE]
    (own,) = (each for each in _parts(result, "Run etcd as specified") if "docker run" in each)
    assert _started(own, "etcd") == [THREE]
    for name in (ONE, TWO):
        assert not [each for each in result.commands(name) if "quaylab-etcd" in each]


def test_a_host_that_was_forgotten_and_is_back_with_its_data_joins_the_others(
    project: Project,
) -> None:
    """etcd would not start with its data; the database's stays."""
    result = _third(project, *ALL[:2], is_new=False)
    assert result.code == 0, result.output
    (removing,) = _parts(result, "Remove etcd's data that is no member's")
    (own,) = (each for each in _parts(result, "Run etcd as specified") if "docker run" in each)
    assert "docker volume rm quaylab-etcd" in removing
    # It has been announced.
    assert own.index("touch /etc/quaylab/etcd/joins") < own.index("docker run --detach")
    assert _started(own, "etcd") == [THREE]
    assert "docker volume rm quaylab-database" not in result.output


def test_no_host_without_data_is_started_beside_one_that_is_no_majority(project: Project) -> None:
    made = _made(project)
    inventory = _inventory(project, made, {ONE: _running(made, ONE)}, etcd={})
    result = project.run("-y", "-vv", inventory, project.deploy_file(("engine", "etcd")), *OPTIONS)
    assert result.code == 1
    assert "etcd: its data is only on @fake/one, which is no majority, and not on @fake/two" in (
        result.output
    )
    assert "Traceback" not in result.output
    assert {name: result.commands(name) for name in HOSTS} == {name: [] for name in HOSTS}


# --- a member that is lost for good ---

GONE = "_fake_gone"


def test_a_member_in_no_group_is_refused_before_anything_is_changed(project: Project) -> None:
    result = _third(project, *ALL[:2], GONE)
    assert result.code == 1
    assert (
        f"database: {GONE} is a member and in no group; have it forgotten, by "
        f"tasks/forget_member.py --data forget={GONE}"
    ) in result.output
    assert "Traceback" not in result.output
    assert {name: result.commands(name) for name in HOSTS} == {name: [] for name in HOSTS}


def test_a_member_in_no_group_is_refused_before_data_is_moved(project: Project) -> None:
    made = _made(project)
    lines = {name: [*_running(made, name), "schema v3.18.0"] for name in HOSTS}
    inventory = _inventory(project, made, lines, etcd=dict.fromkeys(HOSTS, _members(*ALL, GONE)))
    options = (*OPTIONS, "--data=container_engine=podman")
    result = project.run("-y", "-vv", inventory, "tasks/move_engine.py", *options)
    assert result.code == 1
    assert f"database: {GONE} is a member and in no group; have it forgotten" in result.output
    assert "Traceback" not in result.output
    assert {name: result.commands(name) for name in HOSTS} == {name: [] for name in HOSTS}


def _forget(project: Project, etcd: Mapping[str, str], *options: str) -> Result:
    made = _made(project)
    lines = {name: _running(made, name) for name in etcd}
    inventory = _inventory(project, made, lines, etcd=etcd)
    how = () if "--dry" in options else ("-y",)
    return project.run(*how, "-vv", inventory, "tasks/forget_member.py", *OPTIONS, *options)


def _removals(result: Result) -> dict[str, list[str]]:
    """Return the members that each host's etcd was told to remove."""
    found = {
        name: [each for each in result.commands(name) if "etcdctl member remove" in each]
        for name in HOSTS
    }
    return {name: [each.split()[-1] for each in lines] for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("answering", "place"), [((ONE, TWO), ONE), ((TWO, THREE), TWO)], ids=["last", "first"]
)
@pytest.mark.parametrize("given", [GONE, "@fake/gone"])
def test_a_lost_member_is_forgotten(
    project: Project, answering: tuple[str, ...], place: str, given: str
) -> None:
    """Another host is in the inventory in its place, maybe as the first one."""
    listed = _members(*(member_name(f"@fake/{name}") for name in answering), GONE)
    result = _forget(project, dict.fromkeys(answering, listed), f"--data=forget={given}")
    assert result.code == 0, result.output
    assert result.operations == [f"Forget {GONE}"]
    assert _removals(result) == {place: ["id2'"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "forget: not set; name the lost host: --data forget=HOST"),
        (("--data=forget=@fake/two",), "forget: @fake/two is in group `database`; take it out of"),
        (("--data=forget=_fake_two",), "forget: _fake_two is in group `database`; take it out of"),
    ],
    ids=["not set", "a host", "a member"],
)
def test_nobody_else_is_forgotten(project: Project, options: tuple[str, ...], message: str) -> None:
    result = _forget(project, dict.fromkeys(HOSTS, _members(*ALL)), *options)
    assert result.code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert _removals(result) == {}


def test_without_a_majority_nobody_is_forgotten(project: Project) -> None:
    result = _forget(project, dict.fromkeys(HOSTS, ""), f"--data=forget={GONE}")
    assert result.code == 1
    assert "forget: etcd does not answer; a majority of its members has to run" in result.output
    assert "Traceback" not in result.output


def test_a_dry_run_says_whom_it_would_forget(project: Project) -> None:
    etcd = dict.fromkeys(HOSTS, _members(*ALL, GONE))
    result = _forget(project, etcd, f"--data=forget={GONE}", "--dry", "--json")
    assert result.code == 0, result.output
    assert result.plan == [f"Forget {GONE}"]


# --- another cluster in the place of one ---


def test_a_dump_is_restored_into_a_new_cluster(project: Project) -> None:
    """As for another major version, for which the old data was put aside."""
    made = _made(project)
    found = {
        "before": "v3.18.0",
        "after": "v3.18.0",
        "engine": "postgresql",
        "credentials": made.credentials.fingerprint,
        "revision": "318",
        "time": "2026-01-31T12:00:00+00:00",
        "sha256": "0" * 64,
        "tables": 2,
        "rows": 9,
        "size": 100,
    }
    told = f"now 0\nfree 9000\ndump v3.18.0-20260131T120000Z {json.dumps(found)}"
    inventory = _inventory(project, made, {}, leader=None, dumps={TWO: told})
    options = (*OPTIONS, "--data=health_timeout=10")
    result = project.run("-y", "-vv", inventory, "tasks/restore_database.py", *options)
    order = [
        "Check that the dump is intact",
        "Start etcd where it does not run",
        "Run etcd as specified",
        "Run the database's member as specified",
    ]
    positions = [result.operations.index(name) for name in order]
    assert positions == sorted(positions)
    # Nobody leads on fake hosts, so it ends with the founder.
    assert set(_started(result.output, "etcd")) == set(HOSTS)
    assert _started(result.output, "database") == [ONE]
    assert "Traceback" not in result.output


# --- Docker restarts ---


def test_docker_restarts_with_another_proxy_on_one_host_after_the_other(project: Project) -> None:
    """Not on a leader from which nobody takes over."""
    data = {"https_proxy": "http://proxy.example.com:3128"}
    made = _made(project, **data)
    lines = {name: _running(made, name) for name in HOSTS}
    answers = {"docker info --format": ENGINE, "command -v dockerd": ["installed", "enabled"]}
    inventory = _inventory(project, made, lines, more=answers)
    options = (*OPTIONS, *(f"--data={key}={value}" for key, value in data.items()))
    tasks = project.deploy_file(("engine",))
    result = project.run("-y", "-vv", inventory, tasks, *options)
    assert "Docker on @fake/two will be restarted with another proxy" in result.output
    restarts = [
        line.partition("]")[0].rpartition("/")[2]
        for part in _parts(result, "Restart the container engine")
        for line in part.splitlines()
        if ">>>" in line and "systemctl restart docker" in line
    ]
    assert restarts == [TWO, THREE]
    assert "no other member takes over: 503 Switchover failed" in result.output
    assert result.code == 1
    assert "Traceback" not in result.output


# --- reboots ---

# A fake host always answers the same: with this each look finds another boot.
BOOTS = """\
import itertools
from pyinfra import local
from operations import reboot
numbers = itertools.count()
reboot._boot = lambda host: str(next(numbers))
local.include("tasks/reboot.py")
"""
# With this it is the same for two seconds.
NO_BOOT = """\
from pyinfra import local
from operations import reboot
reboot.TIMEOUT = 2
local.include("tasks/reboot.py")
"""


def _reboot(project: Project, text: str, leader: str, *options: str) -> Result:
    made = _made(project)
    inventory = _inventory(project, made, {name: _running(made, name) for name in HOSTS}, leader)
    (project.path / "reboot.py").write_text(text)
    return project.run("-y", "-vv", inventory, "reboot.py", *OPTIONS, *options)


def _reboots(result: Result) -> list[str]:
    """Return the hosts of the reboots that were begun, in order."""
    found = [each for each in result.operations if each.startswith("Reboot ")]
    return [each.rpartition("/")[2] for each in found]


@pytest.mark.parametrize(
    ("leader", "order"),
    [(ONE, [STORE, TWO, THREE, ONE]), (TWO, [STORE, ONE, THREE, TWO])],
)
def test_machines_reboot_one_after_the_other_and_the_leader_last(
    project: Project, leader: str, order: list[str]
) -> None:
    """A leader from which nobody takes over is not rebooted."""
    result = _reboot(project, BOOTS, leader)
    assert result.code == 1
    assert _reboots(result) == order
    assert "no other member takes over: 503 Switchover failed" in result.output
    assert "Traceback" not in result.output


def test_a_machine_that_does_not_come_back_is_the_last_one(project: Project) -> None:
    result = _reboot(project, NO_BOOT, ONE)
    assert result.code == 1
    assert _reboots(result) == [STORE]
    assert f"@fake/{STORE} does not come back within 2 s; look at its console" in result.output
    assert "Traceback" not in result.output


def test_one_machine_is_rebooted_alone(project: Project) -> None:
    result = _reboot(project, BOOTS, ONE, "--limit=@fake/two")
    assert result.code == 0, result.output
    assert _reboots(result) == [TWO]

"""Three balancers in front of three nodes: their order, and what a run refuses or stops at."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.secrets.credentials import Store, generate
from tests.deploy.project import ENGINE, Project, Result, fake, older_quay, report, volume

LB = {f"lb{number}": f"192.168.254.2{number}" for number in (1, 2, 3)}
QUAY = {f"quay{number}": f"192.168.254.3{number}" for number in (1, 2, 3)}
DATA = "192.168.254.41"
NODES = [f"_fake_{name}" for name in QUAY]
# Deploy's tasks that fake hosts can do: a bucket is made over SSH or on @local only.
TASKS = ("engine", "images", "database", "redis", "quay", "balancer")
OPTIONS = ("--data=server_hostname=registry.example.com", "--data=virtual_address=192.168.254.100")
BALANCERS = [
    "Get HAProxy's image",
    "Write HAProxy's configuration",
    "Run HAProxy",
    "Load HAProxy's configuration",
    "Install keepalived",
    "Write keepalived's configuration",
    "Run keepalived",
    "Hold the address only where HAProxy is well",
]
NODES_START = "Start Quay where it does not run"
# The superuser is made over SSH or on @local only, so a run on fake hosts ends here.
END = "Create the superuser"


def _host(
    name: str, address: str, *lines: str, responses: dict[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    own = [f"own_address {address}", f"network eth0 {address}/24"]
    text = "\n".join([report(address=address), *own, *lines])
    holds = {"address show to": {"success": name == "lb1"}}
    return fake(name, text, {**holds, **(responses or {})}, ssh_hostname=address)


def _run(project: Project, hosts: dict[str, Any], *options: str) -> Result:
    return project.run(
        "-y", "-vv", project.inventory(**hosts), project.deploy_file(TASKS), *OPTIONS, *options
    )


def _hosts() -> dict[str, Any]:
    """Return bare hosts, with our own Ceph for the blobs of three Quay hosts."""
    data = [_host("data", DATA)]
    return {
        "balancer": [_host(name, address) for name, address in LB.items()],
        "quay": [_host(name, address) for name, address in QUAY.items()],
        **dict.fromkeys(("database", "redis", "ceph"), data),
    }


# --- the first run ---


@pytest.fixture(scope="module")
def first(shared_project: Project) -> Result:
    """The nodes' part; the balancers come after it."""
    return _run(shared_project, _hosts())


@pytest.fixture(scope="module")
def balancers(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The balancers' part."""
    project = Project(tmp_path_factory.mktemp("project"))
    inventory = project.inventory(**_hosts())
    result = project.run("-y", "-vv", inventory, "tasks/balancer.py", *OPTIONS)
    assert result.code == 0, result.output
    return result


def test_one_balancer_after_the_other(balancers: Result) -> None:
    """pyinfra executes an operation on all of its hosts at once, so there is one for each host."""
    wait, introduce, *others = balancers.operations[1:]
    assert wait == "Wait until Quay's nodes run"
    assert introduce == "Tell keepalived of all balancers"
    *others, check = others
    assert others == [name for name in BALANCERS for _ in LB]
    assert check == "Check that one balancer holds the address"


def test_two_balancers_that_hold_the_address_end_the_run(project: Project) -> None:
    hosts = _hosts()
    for _, data in hosts["balancer"]:
        data["fake_responses"]["address show to"] = {"success": True}
    (project.path / "short.py").write_text(
        "from pyinfra import local\n"
        "from operations.services import virtual_address\n"
        "virtual_address.SETTLING = 1\n"
        'local.include("tasks/balancer.py")\n'
    )
    result = project.run("-y", "-vv", project.inventory(**hosts), "short.py", *OPTIONS)
    # A fake host carries out no command, so it can't fail.
    (refusal,) = [each for each in result.commands("lb1") if "at once, so VRRP" in each]
    assert "exit 1" in refusal
    assert "Traceback" not in result.output


def test_nodes_come_before_balancers_on_other_hosts(project: Project) -> None:
    """A balancer that has loaded the nodes' new port or CA finds none of the present nodes."""
    inventory = project.inventory(**_hosts())
    result = project.run("--dry", "--json", inventory, "deploy.py", *OPTIONS)
    assert result.code == 0, result.output
    positions = [result.plan.index(name) for name in (NODES_START, END, *BALANCERS[:3])]
    assert positions == sorted(positions)


def test_nodes_come_before_the_balancer_on_their_host(project: Project) -> None:
    """A single Quay leaves its port to HAProxy."""
    one = [_host("quay", "192.168.254.10")]
    inventory = project.inventory(**dict.fromkeys(("balancer", "quay", "database", "redis"), one))
    result = project.run("--dry", "--json", inventory, "deploy.py", "--data=quay_instances=2")
    assert result.code == 0, result.output
    order = (NODES_START, END, *BALANCERS[:3], "Verify: log in, push, pull, delete")
    positions = [result.plan.index(name) for name in order]
    assert positions == sorted(positions)


def test_nodes_one_after_the_other(first: Result) -> None:
    order = [
        "Write Quay's bundle",
        "Check database, Redis and storage with Quay's credentials",
        "Migrate the database's schema",
        "Record where the data is, and the schema's version",
        NODES_START,
        *(f"Run Quay as specified: {name}" for name in NODES),
        END,
    ]
    positions = [first.operations.index(name) for name in order]
    assert positions == sorted(positions)
    assert first.operations[-1] == END


def test_the_leader_alone_migrates_and_all_record_it(first: Result) -> None:
    migrating = [name for name in QUAY if any("migrate head" in c for c in first.commands(name))]
    assert migrating == ["quay1"]
    for name in QUAY:
        assert any("/var/lib/quaylab/schema" in command for command in first.commands(name))


def test_all_nodes_start_at_once_and_nothing_is_drained(first: Result) -> None:
    for name, address in QUAY.items():
        (run,) = [each for each in first.commands(name) if "docker run --detach" in each]
        assert f"--publish={address}:8443:8443" in run
        assert "--publish=0.0.0.0" not in run
    started = first.output.index(NODES_START)
    specified = first.output.index(f"Run Quay as specified: {NODES[0]}")
    for part in first.output.split("docker run --detach --name=quaylab-quay ")[1:]:
        assert started < first.output.index(part) < specified
    for name, node in zip(QUAY, NODES, strict=True):
        # What drains a node would change it.
        own = _during(first, f"Run Quay as specified: {node}")
        assert f"[@fake/{name}] No changes" in own
        assert "haproxy-admin.sock" not in own


@pytest.mark.parametrize("name", LB)
def test_each_balancer_listens_by_itself_and_shares_an_address(
    balancers: Result, name: str
) -> None:
    commands = balancers.commands(name)
    (run,) = [each for each in commands if "docker run --detach" in each]
    assert "--name=quaylab-balancer --network=host" in run
    assert any("apt-get install" in each and " keepalived " in each for each in commands)
    assert any("systemctl restart quaylab-keepalived" in each for each in commands)


def test_a_holder_knows_a_new_balancer_before_that_one_starts(project: Project) -> None:
    """Else both would hold the address."""
    hosts = _hosts()
    _, holder = hosts["balancer"][0]
    holder["fake_responses"]["command -v keepalived"] = "installed\npresent\nactive\nenabled"
    result = project.run("-y", "-vv", project.inventory(**hosts), "tasks/balancer.py", *OPTIONS)
    assert result.code == 0, result.output
    reload, start = (f"systemctl {how} quaylab-keepalived" for how in ("reload", "restart"))
    assert 0 < result.output.index(reload) < result.output.index(start)
    assert [name for name in LB if any(reload in each for each in result.commands(name))] == ["lb1"]


def test_hosts_know_the_registry_at_the_virtual_address(first: Result) -> None:
    for name, address in {"lb2": "127.0.0.1", "quay2": "192.168.254.100"}.items():
        line = f"{address} registry.example.com"
        assert any(line in command for command in first.commands(name))


def test_the_run_ends_without_a_traceback(first: Result) -> None:
    assert first.code == 1
    assert "Traceback" not in first.output
    assert "only SSH and @local hosts can" in first.output


# --- a change ---


def _running_hosts(project: Project, in_service: tuple[str, ...], **answers: Any) -> dict[str, Any]:
    """Return hosts that run an older Quay, with what HAProxy on all balancers says of the nodes.

    Args:
        answers: what else the balancers answer, by a part of the command.
    """
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    credentials = generate()
    store.save(credentials)
    labels = {
        "io.quaylab.credentials": credentials.fingerprint,
        "io.quaylab.path": "",
        "io.quaylab.registry": "quay",
    }
    kinds = {"quaylab-database": "postgresql-15-c9s", "quaylab-ceph": "ceph"}
    volumes = [volume(name, {**labels, "io.quaylab.data": kind}) for name, kind in kinds.items()]
    data = [_host("data", DATA, ENGINE, *volumes)]
    running = older_quay(credentials.fingerprint)
    drained = {"cat /var/lib/quaylab/withdrawn": "\n".join(f"@fake/{name}" for name in LB)}
    haproxy = {"show servers state quay": _haproxy(in_service)}
    return {
        "balancer": [
            _host(name, address, responses={**haproxy, **answers}) for name, address in LB.items()
        ],
        "quay": [
            _host(
                name, address, ENGINE, running, responses={"named=$(docker ps": running, **drained}
            )
            for name, address in QUAY.items()
        ],
        **dict.fromkeys(("database", "redis", "ceph"), data),
    }


def _haproxy(in_service: tuple[str, ...]) -> str:
    states = {name: 2 if name in in_service else 0 for name in NODES}
    lines = [
        f"5 quay {number} {name} 192.168.254.3{number} {state} 0 1 1"
        for number, (name, state) in enumerate(states.items(), 1)
    ]
    rows = [f"quay,{name},0" for name in NODES]
    return "\n".join(["description: 0123456789abcdef", *lines, "# pxname,svname,scur", *rows])


def _during(result: Result, operation: str) -> str:
    """Return what a run prints of an operation."""
    return result.output.split(operation)[1].split("--> Starting operation")[0]


def _replaced(result: Result) -> list[str]:
    """Return the Quay hosts on which a container was replaced."""
    return [name for name in QUAY if any("docker run --det" in c for c in result.commands(name))]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Result:
    project = Project(tmp_path_factory.mktemp("project"))
    return _run(project, _running_hosts(project, tuple(NODES)))


def test_nodes_are_replaced_one_after_the_other(changed: Result) -> None:
    assert _replaced(changed) == list(QUAY)
    for name, node in zip(QUAY, NODES, strict=True):
        own = _during(changed, f"Run Quay as specified: {node}")
        assert own.count("docker run --detach --name=quaylab-quay ") == 1
        assert "haproxy-admin.sock" in own
        lines = [line for line in own.splitlines() if "docker run --detach" in line]
        assert lines[0].startswith(f"[@fake/{name}]")
    assert "Traceback" not in changed.output


def test_haproxy_loads_another_configuration_by_a_reload(project: Project) -> None:
    inventory = project.inventory(**_running_hosts(project, tuple(NODES)))
    result = project.run("-y", "-vv", inventory, "tasks/balancer.py", *OPTIONS)
    assert result.code == 0, result.output
    for name in LB:
        assert any("kill -USR2 1" in command for command in result.commands(name))


def test_a_node_that_cannot_be_drained_is_not_replaced(project: Project) -> None:
    refusing = {"state drain": {"success": False}}
    result = _run(project, _running_hosts(project, tuple(NODES), **refusing))
    assert result.code == 1
    assert f"HAProxy on @fake/lb1 refuses to drain {NODES[0]}" in result.output
    assert "Traceback" not in result.output
    assert _replaced(result) == []


# A fake host always answers the same: with this each look finds another boot.
REBOOT = """\
import itertools
from pyinfra import local
from operations import reboot
from operations.services import virtual_address
numbers = itertools.count()
reboot._boot = lambda host: str(next(numbers))
virtual_address.TAKE_OVER = 1
local.include("tasks/reboot.py")
"""


@pytest.mark.parametrize(
    ("holders", "active", "rebooted"),
    [
        (("lb1", "lb2", "lb3"), True, ["lb1", "lb2", "lb3"]),
        # Nobody takes it over, or nobody could.
        (("lb2",), True, ["lb1"]),
        (("lb2",), False, ["lb1"]),
        ((), True, ["lb1", "lb2", "lb3"]),
    ],
)
def test_an_address_moves_before_its_machine_reboots(
    project: Project, holders: tuple[str, ...], active: bool, rebooted: list[str]
) -> None:
    """A machine whose address nobody takes over is not rebooted."""
    hosts = _running_hosts(project, tuple(NODES))
    for name, data in hosts["balancer"]:
        holds = name.rpartition("/")[2] in holders
        data["fake_responses"]["address show to"] = {"stdout": "", "success": holds}
        data["fake_responses"]["command -v keepalived"] = "active" if active else ""
    (project.path / "reboot.py").write_text(REBOOT)
    inventory = project.inventory(**hosts)
    result = project.run("-y", "-vv", inventory, "reboot.py", *OPTIONS, "--limit=balancer")
    assert "Traceback" not in result.output
    refusals = [name for name in LB if f"@fake/{name} holds the virtual address" in result.output]
    assert refusals == [name for name in holders if name not in rebooted]
    assert result.code == bool(refusals)
    begun = [each.rpartition("/")[2] for each in result.operations if each.startswith("Reboot")]
    assert begun == [*rebooted, *refusals]


# --- refusals ---


@pytest.mark.parametrize(
    ("balancers", "quays", "options", "messages"),
    [
        (2, 1, [], ["server_hostname: not set, and none of 2 balancers has the registry's name"]),
        (
            1,
            1,
            ["virtual_address=192.168.254.100"],
            ["virtual_address: an address moves only between two or more balancers"],
        ),
        (
            1,
            1,
            ["balancer_host=192.168.254.200"],
            ["balancer_host: 192.168.254.200 runs elsewhere, but group `balancer` has @fake/lb1"],
        ),
        (
            0,
            2,
            ["quay_instances=2"],
            [
                "quay_instances: 2 containers on a host need a balancer in front of them",
                "quay: 2 hosts in group `quay`, but the blobs are in a volume",
                "quay: 2 hosts in group `quay`, and nothing sends clients to them all",
            ],
        ),
        (
            2,
            1,
            ["server_hostname=registry.example.com", "virtual_address=10.0.0.100"],
            [
                "virtual_address: 10.0.0.100 is in no network of @fake/lb1, which has "
                "192.168.254.21/24 on eth0",
                "virtual_address: 10.0.0.100 is in no network of @fake/lb2",
            ],
        ),
        (
            1,
            1,
            ["quay_version=v2.9.1", "quay_image=quay.io/coreos/quay"],
            ["quay_version: Quay 2.9 runs without a balancer"],
        ),
    ],
    ids=["name", "one balancer", "elsewhere too", "no balancer", "network", "Quay 2.9"],
)
def test_refused_before_anything_is_done(
    project: Project, balancers: int, quays: int, options: list[str], messages: list[str]
) -> None:
    hosts = _hosts()
    del hosts["ceph"]
    hosts = {**hosts, "balancer": hosts["balancer"][:balancers], "quay": hosts["quay"][:quays]}
    data = [f"--data={each}" for each in options]
    result = project.run("-y", "-vv", project.inventory(**hosts), "deploy.py", *data)
    problems = [line for line in result.output.splitlines() if line.startswith("  - ")]
    assert result.code == 1
    assert len(problems) == len(messages)
    for message, problem in zip(messages, problems, strict=True):
        assert problem.startswith(f"  - {message}")
    assert "Traceback" not in result.output
    assert result.operations == []
    assert not project.credentials.exists()


def test_an_address_of_another_machine_is_refused(project: Project) -> None:
    hosts = _hosts()
    answers = {"ip neigh show to 192.168.254.100": "yes"}
    hosts["balancer"] = [_host(name, LB[name], responses=answers) for name in LB]
    result = _run(project, hosts)
    assert result.code == 1
    assert (
        "virtual_address: another machine in the network of @fake/lb1 has 192.168.254.100; choose "
        "a free address"
    ) in result.output
    assert "Traceback" not in result.output
    assert result.operations == []

"""The fact about etcd's members, from the answer of a real one."""

from __future__ import annotations

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.etcd import AnsweringEtcd, Etcd, EtcdMember
from tests.unit.shell import Shell

CONTAINER = "quaylab-etcd"
RECORDED = "fd86056592556659, started, one, https://198.18.0.2:2380, https://198.18.0.2:2379, false"
# One that was added, and has not started yet, has neither a name nor an address for clients.
ADDED = "8211f1d0f64f3269, unstarted, , https://198.18.0.3:2380, , false"
ONE = EtcdMember("fd86056592556659", "one", "https://198.18.0.2:2380")
NEW = EtcdMember("8211f1d0f64f3269", "", "https://198.18.0.3:2380")


def test_members() -> None:
    assert Etcd().process([RECORDED, ADDED]) == (ONE, NEW)


@pytest.mark.parametrize("output", [[], [""]], ids=["nothing", "an empty line"])
def test_no_answer(output: list[str]) -> None:
    assert Etcd().process(output) is None
    assert Etcd().default() is None


@pytest.mark.parametrize("line", ["{}", "Error: context deadline exceeded", "1, started, one"])
def test_an_answer_that_cannot_be_read(line: str) -> None:
    with pytest.raises(FactProcessError, match=r"etcd's answer can't be read: "):
        Etcd().process([line])


def test_it_is_asked_in_its_container_for_some_seconds(shell: Shell) -> None:
    shell.stub("docker", f"echo '{RECORDED}'; echo a warning >&2")
    assert Etcd().process(shell.lines(Etcd().command(CONTAINER))) == (ONE,)
    (call,) = shell.calls
    assert call.startswith(f"docker exec {CONTAINER} sh -c ")
    assert call.endswith("etcdctl --command-timeout=5s member list")


def test_without_a_majority_there_is_no_answer(shell: Shell) -> None:
    shell.stub("docker", "echo 'context deadline exceeded' >&2; exit 1")
    assert shell.lines(Etcd().command(CONTAINER)) == []


def test_without_an_engine_there_is_no_answer(shell: Shell) -> None:
    shell.stub("docker", "exit 127")
    assert shell.lines(Etcd().command(CONTAINER)) == []


# --- who answers ---

# etcdctl 3.5.16; what it says of those that don't answer is on stderr.
WELL = "https://198.18.0.2:2379 is healthy: successfully committed proposal: took = 9.2ms"
ILL = "https://198.18.0.3:2379 is unhealthy: failed to commit proposal: context deadline exceeded"


def test_members_that_answer(shell: Shell) -> None:
    """etcdctl fails if one of them does not."""
    shell.stub("etcdctl", f"echo '{WELL}'; echo '{ILL}' >&2; exit 1")
    # What comes after `docker exec CONTAINER sh -c`, without the variables' files.
    shell.stub("docker", 'sh -c "${5##*members; }"')
    fact = AnsweringEtcd()
    assert fact.process(shell.lines(fact.command(CONTAINER))) == ("https://198.18.0.2:2379",)
    assert fact.default() == ()


def test_no_member_is_asked_for_ever(shell: Shell) -> None:
    shell.stub("docker", "exit 1")
    assert shell.lines(AnsweringEtcd().command(CONTAINER)) == []
    (call,) = (each for each in shell.calls if each.startswith("docker"))
    assert "ETCDCTL_ENDPOINTS" not in call, "it asks all members"
    assert "etcdctl --command-timeout=5s endpoint health" in call

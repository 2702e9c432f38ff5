"""What containers reach, with a real bash and a stub of the engine's client."""

from __future__ import annotations

import socket

import pytest

from facts.network import UnreachableTargets
from tests.unit.shell import Shell

HERE = "127.0.0.1"
# Stubs that run the command after the container's name, or after the image's.
INSIDE = 'case $1 in exec) shift 2; exec "$@" ;; *) exit 1 ;; esac'
# As while a killed run's last command replaces the container.
NO_LONGER_INSIDE = """case $1 in
exec) echo 'OCI runtime exec failed: exec failed'; exit 126 ;;
network) exit 0 ;;
run) while test "$1" != quay:1; do shift; done; shift; exec bash "$@" ;;
esac"""
IN_ANOTHER = """case $1 in
network) exit 0 ;;
run) while test "$1" != quay:1; do shift; done; shift; exec bash "$@" ;;
*) exit 1 ;;
esac"""


@pytest.mark.parametrize(
    ("engine", "inside"),
    [(INSIDE, True), (NO_LONGER_INSIDE, True), (IN_ANOTHER, False)],
    ids=["in the container", "no longer in it", "in another container"],
)
def test_each_unreachable_target_has_its_reason(shell: Shell, engine: str, inside: bool) -> None:
    shell.stub("docker", engine)
    with socket.create_server((HERE, 0)) as open_one, socket.create_server((HERE, 0)) as other:
        there, closed = open_one.getsockname()[1], other.getsockname()[1]
        other.close()
        targets = [(HERE, there), (HERE, closed), ("nowhere.invalid", 5432)]
        fact = UnreachableTargets()
        found = fact.process(shell.lines(fact.command("quaylab-quay", "quay:1", inside, targets)))
    assert found.pop(("nowhere.invalid", 5432))
    assert found == {(HERE, closed): "Connection refused"}
    if engine != INSIDE:
        (run,) = [call for call in shell.calls if call.startswith("docker run ")]
        assert " --rm --network=quaylab " in run


def test_a_target_that_does_not_answer(shell: Shell) -> None:
    shell.stub("docker", INSIDE)
    shell.stub("timeout", "exit 124")
    fact = UnreachableTargets()
    command = fact.command("quaylab-quay", "quay:1", True, [(HERE, 1)])
    assert fact.process(shell.lines(command)) == {(HERE, 1): "no answer within 10 s"}

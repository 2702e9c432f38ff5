"""What containers reach, asked of a real bash with an engine's client that is none."""

from __future__ import annotations

import socket

import pytest

from facts.network import OutOfReach
from tests.unit.shell import Shell

HERE = "127.0.0.1"
# "Runs" the command after the container's name, or after the image's.
RUNNING = 'case $1 in ps) echo c0ffee ;; *) shift 2; exec "$@" ;; esac'
# It runs, but off the network, and resolves nothing.
STRAYED = """case $1 in
ps) case "$*" in *network=*) ;; *) echo c0ffee ;; esac ;;
exec) echo "$5 $6 bash: Temporary failure in name resolution" ;;
network) exit 0 ;;
run) while test "$1" != quay:1; do shift; done; shift; exec bash "$@" ;;
esac"""
STOPPED = STRAYED.replace("echo c0ffee", ":")


@pytest.mark.parametrize(
    "engine", [RUNNING, STOPPED, STRAYED], ids=["up", "down", "off the network"]
)
def test_each_is_told_with_its_reason(shell: Shell, engine: str) -> None:
    shell.stub("docker", engine)
    with socket.create_server((HERE, 0)) as open_one, socket.create_server((HERE, 0)) as other:
        there, closed = open_one.getsockname()[1], other.getsockname()[1]
        other.close()
        targets = [(HERE, there), (HERE, closed), ("nowhere.invalid", 5432)]
        fact = OutOfReach()
        found = fact.process(shell.lines(fact.command("quaylab-quay", "quay:1", targets)))
    assert found.pop(("nowhere.invalid", 5432))
    assert found == {(HERE, closed): "Connection refused"}
    if engine != RUNNING:
        (run,) = [call for call in shell.calls if call.startswith("docker run ")]
        assert " --rm --network=quaylab " in run


def test_silence_is_told(shell: Shell) -> None:
    shell.stub("docker", RUNNING)
    shell.stub("timeout", "exit 124")
    fact = OutOfReach()
    command = fact.command("quaylab-quay", "quay:1", [(HERE, 1)])
    assert fact.process(shell.lines(command)) == {(HERE, 1): "no answer within 10 s"}

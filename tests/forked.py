"""Runs of pyinfra, forked from a process that has imported it.

Until pyinfra and Quaylab are imported, a run needs almost a second of a processor, and the tests
start hundreds. Otherwise a forked run is what ``python -m pyinfra`` is: a process with its own
arguments, environment, working directory, signals and exit status. The tests of the demo, and those
of interrupted runs, start pyinfra as users do.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

PROJECT = Path(__file__).parents[1]
PACKAGES = (
    *("pyinfra_cli.main", "pyinfra.connectors.ssh", "cryptography.x509", "passlib.hash"),
    # Not `pydantic`, which imports its parts only when they are used.
    *("psycopg2", "pydantic.main", "pymysql", "redis", "rich.console", "urllib3", "yaml"),
)
# Only for runs in this folder: in another one Quaylab finds its root by where it was imported from.
OWN = ("operations.runtime.guard", "operations.runtime.planning", "operations.runtime.run")
LARGEST = 1 << 20  # bytes of a request: arguments and environment


class Run:
    """A run in progress, with what the tests use of ``subprocess.Popen``'s interface."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        """Start `pyinfra ARGUMENTS` with pipes for its output and nothing to read."""
        request = {"arguments": arguments, "cwd": str(cwd), "env": dict(env)}
        pipes = [os.pipe() for _ in range(3)]
        with _one_at_a_time:
            server = _server(PACKAGES + OWN if cwd == PROJECT else PACKAGES)
            socket.send_fds(server, [json.dumps(request).encode()], [end for _, end in pipes])
            self.pid = int(server.recv(LARGEST))
        for _, end in pipes:
            os.close(end)
        self.stdout, self.stderr, self._status = (os.fdopen(begin) for begin, _ in pipes)
        self.returncode: int | Any = None  # as Popen's: None until its end was noticed

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()
        self._status.close()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raise ``subprocess.TimeoutExpired`` after `timeout` seconds."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("pyinfra", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._status.read()))
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return the output once the run has ended; raise as :meth:`wait`."""
        texts = {}

        def read(stream: str) -> None:
            texts[stream] = getattr(self, stream).read()

        readers = [threading.Thread(target=read, args=(each,)) for each in ("stdout", "stderr")]
        for reader in readers:
            reader.daemon = True
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return texts["stdout"], texts["stderr"]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_one_at_a_time = threading.Lock()


@functools.cache
def _server(modules: Sequence[str]) -> socket.socket:
    """Start the process that forks, after it has imported `modules`; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.forked", str(theirs.fileno()), *modules],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # pyinfra looks once whether it is a terminal
            pass_fds=[theirs.fileno()],
        )
    return ours


def _serve(channel: socket.socket, modules: Sequence[str]) -> None:
    """Fork for each request. Returns in the run's process, or when the tests have ended."""
    # gevent replaces these when pyinfra is imported, by some that need its loop.
    close, fork, wait = os.close, os.fork, os.waitpid
    receive, set_signal = socket.recv_fds, signal.signal
    statuses: dict[int, int] = {}  # pipes by process id

    def report(*_: object) -> None:
        with suppress(ChildProcessError):
            while (ended := wait(-1, os.WNOHANG)) != (0, 0):
                pipe = statuses.pop(ended[0])
                os.write(pipe, str(ended[1]).encode())
                close(pipe)

    set_signal(signal.SIGCHLD, report)
    set_signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runs' matter
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    while True:
        message, pipes, _, _ = receive(channel, LARGEST, 3)
        if not message:
            os._exit(0)
        # No run ends before its pipe is noted.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if not (run := fork()):
            set_signal(signal.SIGCHLD, signal.SIG_DFL)
            set_signal(signal.SIGINT, signal.default_int_handler)
            for target, pipe in enumerate(pipes[:2], start=1):
                os.dup2(pipe, target)
            for descriptor in (*pipes, *statuses.values(), channel.detach()):
                close(descriptor)
        else:
            statuses[run] = pipes.pop()
            for pipe in pipes:
                close(pipe)
            channel.sendall(str(run).encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        if not run:
            return _become(json.loads(message))


def _become(request: dict[str, Any]) -> None:
    """Make this process the run that was asked for."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]
    sys.argv = ["pyinfra", *request["arguments"]]


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
    runpy.run_module("pyinfra", run_name="__main__", alter_sys=True)

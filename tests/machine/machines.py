"""Machines for the tests: privileged containers in which systemd is PID 1.

They lack what a container can't have (a kernel, LVM, memory limits). For a deploy they look like
servers: each has an address, sshd, systemd, apt, an engine on an overlay if wanted, and can reboot
and crash.
"""

from __future__ import annotations

import ast
import configparser
import fcntl
import functools
import hashlib
import io
import ipaddress
import itertools
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.forked import PROJECT, Run

IMAGE_SOURCE = Path(__file__).parent / "image"
LABEL = "quaylab-test"

# A new Debian server: minbase, and what an installer adds to make it reachable.
PACKAGES = (
    "ca-certificates,dbus,iproute2,iputils-ping,less,libpam-systemd,netbase,openssh-server,procps,"
    "python3,sudo,systemd,systemd-sysv,tzdata"
)

ImageName = Literal["bare", "docker", "podman"]
Kind = Literal["bare", "docker", "stocked", "podman"]
# A run of pyinfra.
Process = Run | subprocess.Popen[str]
# Where engines keep their data: on volumes, as an overlay doesn't work on an overlay.
ENGINE_DATA = {"docker": "/var/lib/docker", "podman": "/var/lib/containers"}


class CommandFailed(AssertionError):
    """A command failed that had to succeed; the message has its output."""


def run(
    *argv: str,
    check: bool = True,
    input: str | bytes | None = None,
    timeout: float = 600,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command on the CI machine; input may be bytes, output is text."""
    stdin = input.encode() if isinstance(input, str) else input
    done = subprocess.run(
        argv, input=stdin, capture_output=True, timeout=timeout, check=False, cwd=cwd
    )
    result = subprocess.CompletedProcess(
        list(argv),
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )
    if check and result.returncode:
        raise CommandFailed(
            f"{' '.join(argv)}: exit {result.returncode}\n{result.stdout}{result.stderr}"
        )
    return result


def wait_until(check: Callable[[], bool], what: str, timeout: float = 60) -> None:
    """Wait until `check` returns true.

    Raises:
        TimeoutError: it didn't within `timeout` seconds; the message has `what` was waited for.
    """
    end = time.monotonic() + timeout
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        time.sleep(0.2)


# --- images ------------------------------------------------------------------------------------


def apt_sources() -> list[Path]:
    """Return this machine's files with Debian's own package sources."""
    paths = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
    return [path for path in paths if path.exists() and path.stat().st_size]


@contextmanager
def building(lock: str = LABEL) -> Iterator[None]:
    """Hold a lock for building images, or for sweeping: one process at a time."""
    with Path(tempfile.gettempdir(), f"{lock}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_image(name: ImageName) -> str:
    """Return an image's reference; build it unless the engine has one made from the same files."""
    with building():
        return _build_image(name)


def _build_image(name: ImageName) -> str:
    sources = apt_sources()
    files = [*sources, IMAGE_SOURCE / "Dockerfile", IMAGE_SOURCE / "boot"]
    content = b"".join([PACKAGES.encode(), *(path.read_bytes() for path in files)])
    tag = hashlib.sha256(content).hexdigest()[:12]
    reference = f"{LABEL}/{name}:{tag}"
    if has_image(reference):
        return reference
    rootfs = f"{LABEL}/rootfs:{tag}"
    if not has_image(rootfs):
        command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", "-"]
        _pipe([*command, *map(str, sources)], ["docker", "import", "-", rootfs])
    build = ["docker", "build", "--quiet", "--build-arg", f"ROOTFS={rootfs}", "--target", name]
    run("env", "DOCKER_BUILDKIT=0", *build, "--tag", reference, str(IMAGE_SOURCE))
    return reference


def volume_path(volume: str) -> Path:
    """Return where the CI machine's engine keeps a volume."""
    inspect = ("docker", "volume", "inspect", "--format={{.Mountpoint}}", volume)
    return Path(run(*inspect).stdout.strip())


def has_image(reference: str) -> bool:
    """Return whether the CI machine's engine has an image."""
    return run("docker", "image", "inspect", reference, check=False).returncode == 0


def _pipe(producer: Sequence[str], consumer: Sequence[str]) -> None:
    """Run `producer | consumer`, and fail if either fails."""
    with subprocess.Popen(producer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        second = subprocess.run(consumer, stdin=first.stdout, capture_output=True, check=False)
        assert first.stdout is not None and first.stderr is not None
        first.stdout.close()  # otherwise the producer would wait for a failed consumer
        errors = first.stderr.read() + second.stderr
    if first.returncode or second.returncode:
        raise CommandFailed(f"{' '.join(producer)} | {' '.join(consumer)}\n{errors.decode()}")


# --- settings of this machine's network that a machine needs as well -----------------------------


def _nameservers() -> Path:
    """Return a resolv.conf that works in containers, where systemd-resolved's stub doesn't."""
    real = Path("/run/systemd/resolve/resolv.conf")
    return real if real.exists() else Path("/etc/resolv.conf")


def _pip_settings() -> tuple[str, dict[Path, str]]:
    """Return this machine's pip configuration as a pip.conf, and new paths for the files in it.

    Behind a proxy, or with a private CA or index, a new machine needs the same pip configuration.
    Its system-wide CA store is left as it is.
    """
    listed = run(sys.executable, "-m", "pip", "config", "list").stdout
    settings = dict(line.split("=", 1) for line in listed.splitlines())
    config = configparser.RawConfigParser()
    config.add_section("global")
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        config["global"]["cert"] = str(bundle)
    # Files first, as the environment overrides them.
    for key in sorted(settings, key=lambda key: key.startswith(":env:")):
        section, option = key.removeprefix(":env:").lstrip(".").rpartition(".")[::2]
        section = section or "global"
        if section not in config:
            config.add_section(section)
        config[section][option] = str(ast.literal_eval(settings[key]))
    moved: dict[Path, str] = {}
    for options in config.values():
        for option, value in options.items():
            words = value.split()
            for position, word in enumerate(words):
                path = Path(word)
                if path.is_absolute() and path.exists():
                    words[position] = moved.setdefault(path, f"/opt/pip/{len(moved)}/{path.name}")
            options[option] = " ".join(words)
    text = io.StringIO()
    config.write(text)
    return text.getvalue(), moved


# --- machines ----------------------------------------------------------------------------------


class Shell(Protocol):
    """A machine that has an address, and runs shell commands as root. ``engine`` is the client of
    its engine."""

    @property
    def address(self) -> str: ...

    @property
    def engine(self) -> str: ...

    def run(
        self, command: str, check: bool = True, input: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]: ...


class ThisMachine:
    """The CI machine itself, with a home of its own for the engine's client and its logins."""

    address = "127.0.0.1"
    engine = "docker"

    def __init__(self, home: Path) -> None:
        self._home = home

    def run(
        self, command: str, check: bool = True, input: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command."""
        environment = ("env", f"HOME={self._home}")
        return run(*environment, "sh", "-c", command, check=check, input=input, timeout=timeout)


@dataclass(frozen=True)
class Machine:
    """One machine; `name` is its host name, `address` survives reboots, `engine` is the client of
    its engine."""

    name: str
    address: str
    container: str
    engine: str = "docker"

    def run(
        self,
        command: str,
        check: bool = True,
        input: str | bytes | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root."""
        argv = ["docker", "exec", "--interactive", "--workdir", "/root", self.container]
        return run(*argv, "sh", "-c", command, check=check, input=input, timeout=timeout)

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a folder to the path `target` on the machine."""
        self._unpack({target: source})

    def put_project(self, target: str) -> None:
        """Copy the project like a clean clone: all files that git tracks or would add."""
        listed = run("git", "-C", str(PROJECT), "ls-files", "-co", "--exclude-standard", "-z")
        files = {name: PROJECT / name for name in listed.stdout.split("\0")[:-1]}
        # git still lists a file that was just deleted.
        self._unpack({f"{target}/{name}": file for name, file in files.items() if file.exists()})

    def _unpack(self, files: Mapping[str, Path]) -> None:
        # Not by `docker cp`, which writes below a tmpfs like /tmp instead of into it.
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for target, source in files.items():
                tar.add(source, target, filter=_owned_by_root)
        self.run("tar -C / -x", input=archive.getvalue())

    def load_images(self, references: Iterable[str]) -> None:
        """Copy images from the CI machine's engine to the machine's."""
        load = ["docker", "exec", "--interactive", self.container, self.engine, "load"]
        # One by one: of an archive with several, Podman makes short names localhost's.
        for reference in references:
            _pipe(["docker", "save", reference], load)

    def reboot(self) -> None:
        """Shut down cleanly, start, and wait until the machine is up."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """Cut the power, start, and wait until the machine is up."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """Cut the power."""
        run("docker", "kill", self.container)

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """Disconnect the machine from its network, so that nobody gets an answer from it."""
        names = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"
        network = run("docker", "inspect", "--format", names, self.container).stdout.strip()
        run("docker", "network", "disconnect", network, self.container)
        try:
            yield
        finally:
            run("docker", "network", "connect", "--ip", self.address, network, self.container)
            # For a moment the kernel still knows that nobody has the address.
            wait_until(self._has_ssh, f"{self.name} is reached again", timeout=30)

    @contextmanager
    def without_carrier(self) -> Iterator[None]:
        """Pull the machine's cable at the other end: it keeps its interface and its addresses."""
        index = self.run("cat /sys/class/net/eth0/iflink").stdout.strip()
        links = run("ip", "-oneline", "link", "show").stdout.splitlines()
        (other_end,) = (line.split()[1] for line in links if line.startswith(f"{index}: "))
        name = other_end.partition("@")[0]
        run("ip", "link", "set", name, "down")
        try:
            yield
        finally:
            run("ip", "link", "set", name, "up")

    def stop(self) -> None:
        """Shut down cleanly; a machine that must be killed fails the test."""
        run("docker", "stop", "--time", "120", self.container)
        state = run("docker", "inspect", "--format", "{{.State.ExitCode}}", self.container)
        if state.stdout.strip() == "137":
            raise CommandFailed(f"{self.name} did not shut down within 120 s")

    def start(self) -> None:
        """Start a stopped machine and wait for sshd and, where it is enabled, Docker."""
        run("docker", "start", self.container)
        wait_until(self._is_up, f"{self.name} is up", timeout=120)

    def destroy(self) -> None:
        """Remove the machine and its data."""
        run("docker", "rm", "--force", self.container)
        run("docker", "volume", "rm", *(f"{self.container}-{each}" for each in ENGINE_DATA))

    def _is_up(self) -> bool:
        # "running" and "degraded" mean that systemd has no job left: all enabled units were
        # started, and one like Docker's counts as started when it is ready.
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded") and self._has_ssh()

    def _has_ssh(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


class MachineFactory:
    """Make machines for one session, on a network of their own."""

    _numbers = itertools.count()

    def __init__(self, operator: Operator, stock: str | None = None) -> None:
        """Make a network, and no machine yet; `stock` is the volume with the images of stocked
        machines."""
        self._operator = operator
        self._stock = stock
        # A session has a factory for each folder of tests.
        self._prefix = f"{LABEL}-{os.getpid()}-{next(self._numbers)}"
        self._label = f"--label={LABEL}={os.getpid()}"
        # Two sessions that sweep at once would fail on what the other has just removed.
        with building():
            sweep_dead_sessions()
            self._network, subnet = self._make_network()
        hosts = subnet.hosts()
        next(hosts)  # the first address is the CI machine's own
        self._addresses = map(str, hosts)  # each is used once, so that known_hosts stays correct

    def __call__(self, name: str, kind: Kind = "docker", image: str | None = None) -> Machine:
        """Return a running machine; `bare` is a new server, `docker` and `podman` have a running
        engine, and `stocked` has Docker with all packaged images. ``image`` is another image of
        such a machine."""
        address = next(self._addresses)
        reference = image or build_image("docker" if kind == "stocked" else kind)
        container = f"{self._prefix}-{name}"
        pip_conf, pip_files = _pip_settings()
        mounts = {_nameservers(): "/etc/resolv.conf", **pip_files}
        volumes = {f"{container}-{engine}": path for engine, path in ENGINE_DATA.items()}
        for volume in volumes:
            run("docker", "volume", "create", self._label, volume)
        if kind == "stocked":
            self._link_images(f"{container}-docker")
        # Privileged: systemd and a container engine run in it.
        run(
            *("docker", "create", "--name", container, "--hostname", name, self._label),
            *("--privileged", "--cgroupns=private"),
            *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec"),
            *(f"--volume={volume}:{path}" for volume, path in volumes.items()),
            *(f"--volume={source}:{target}:ro" for source, target in mounts.items()),
            *("--network", self._network, "--ip", address, reference),
        )
        engine = "podman" if kind == "podman" else "docker"
        machine = Machine(name, address, container, engine)
        machine.start()
        machine.run("cat >/etc/pip.conf", input=pip_conf)
        machine.run(
            "tee /root/.ssh/authorized_keys >/home/admin/.ssh/authorized_keys",
            input=self._operator.public_key,
        )
        host_keys = machine.run("cat /etc/ssh/ssh_host_*_key.pub").stdout
        self._operator.trust(machine, host_keys.splitlines())
        return machine

    def together(
        self, names: Iterable[str], make: Callable[[str], Machine] | None = None
    ) -> list[Machine]:
        """Return machines that are made at the same time: stocked ones, or as ``make`` does."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(make or (lambda name: self(name, "stocked")), names))

    def close(self) -> None:
        """Remove every machine, volume and network of the session, also of its other factories."""
        _sweep(lambda owner: owner == os.getpid())

    def _link_images(self, volume: str) -> None:
        """Give an engine's data images before its first start. Layers are never written to, so
        engines may share their files."""
        assert self._stock
        stock, data = volume_path(self._stock) / "root", str(volume_path(volume))
        run("cp", "-a", str(stock / "image"), data)
        run("cp", "-al", str(stock / "overlay2"), data)

    def _make_network(self) -> tuple[str, ipaddress.IPv4Network]:
        # Docker allows fixed addresses only on a network with a chosen range. This one is
        # reserved for tests of network devices (RFC 2544), so no real network uses it.
        for subnet in ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=24):
            create = ["docker", "network", "create", self._label, f"--subnet={subnet}"]
            created = run(*create, self._prefix, check=False)
            if created.returncode == 0:
                return self._prefix, subnet
            if "overlaps" not in created.stderr:
                break
        raise CommandFailed(created.stderr)


def sweep_dead_sessions() -> None:
    """Remove what killed sessions left behind."""
    # Asked once, so that a session which ends meanwhile is not removed by half.
    alive = functools.cache(_is_alive)
    _sweep(lambda owner: not alive(owner))


def _sweep(is_dead: Callable[[int], bool]) -> None:
    """Remove all containers, volumes and networks of the sessions whose process is dead."""
    for kind, list_all, name, remove in (
        ("container", ["--all"], "Names", ["--force"]),
        ("volume", [], "Name", []),
        ("network", [], "Name", []),
    ):
        columns = f'--format={{{{.{name}}}}} {{{{.Label "{LABEL}"}}}}'
        listed = run("docker", kind, "ls", *list_all, f"--filter=label={LABEL}", columns).stdout
        owners = dict(line.split() for line in listed.splitlines())
        if names := [name for name, owner in owners.items() if is_dead(int(owner))]:
            run("docker", kind, "rm", *remove, *names)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists, and is another user's
        return True
    return True


# --- the operator ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """A finished run of pyinfra."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def check(self) -> Result:
        """Fail with the output unless the run succeeded."""
        if self.returncode:
            raise CommandFailed(f"pyinfra: exit {self.returncode}\n{self.output}")
        return self

    def changed(self) -> list[tuple[str, str]]:
        """Each operation that changed something, with its host."""
        return self._hosts_by("success")

    def unchanged(self) -> list[tuple[str, str]]:
        """Each operation that found everything in place, with its host."""
        return self._hosts_by("no_change")

    def planned(self) -> list[tuple[str, str]]:
        """Each operation that `--dry` expects to change something, with the host."""
        plan = json.loads(self.check().stdout)["plan"]
        return [(op["name"], host) for op in plan for host in op["hosts_with_change"]]

    def _hosts_by(self, outcome: str) -> list[tuple[str, str]]:
        operations = json.loads(self.check().stdout)["results"]["operations"]
        return [(op["name"], host) for op in operations for host in op[outcome]]


class Operator:
    """The user who runs pyinfra, with a home and an SSH key apart from the developer's.

    Args:
        python: of an environment that has requirements.txt; by default runs are forked.
    """

    def __init__(self, home: Path, python: str | None = None) -> None:
        self.home = home
        self._python = python
        self.key = home / ".ssh" / "id_ed25519"
        self.known_hosts = home / ".ssh" / "known_hosts"
        self.key.parent.mkdir(mode=0o700)
        pair = Ed25519PrivateKey.generate()
        private = pair.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        self.key.touch(mode=0o600)
        self.key.write_bytes(private)
        public = pair.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        self.public_key = f"{public.decode()} operator\n"
        self.known_hosts.touch()

    def trust(self, machine: Machine, host_keys: Iterable[str]) -> None:
        """Save a machine's host keys, which were not read over the network."""
        with self.known_hosts.open("a") as known:
            known.writelines(f"{machine.address} {key}\n" for key in host_keys)

    def inventory(
        self,
        folder: Path,
        groups: Mapping[str, Sequence[Machine]],
        data: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write an inventory of machines reached over SSH, by a user who needs sudo.

        + folder: gets `inventory.py`, and `data` as `group_data/all.py`
        + groups: the machines by the service that they run
        """
        lines = [
            f"{group} = {[(machine.name, self.host_data(machine)) for machine in machines]!r}"
            for group, machines in groups.items()
        ]
        (folder / "group_data").mkdir(parents=True, exist_ok=True)
        inventory = folder / "inventory.py"
        inventory.write_text("\n".join(lines) + "\n")
        settings = [f"{key} = {value!r}\n" for key, value in (data or {}).items()]
        (folder / "group_data" / "all.py").write_text("".join(settings))
        return inventory

    def host_data(self, machine: Machine) -> dict[str, Any]:
        """Return the host data with which pyinfra reaches a machine."""
        return {
            "ssh_hostname": machine.address,
            "ssh_user": "admin",
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "_sudo": True,
            "address": machine.address,
        }

    def pyinfra(
        self,
        inventory: Path,
        deploy: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 1800,
    ) -> Result:
        """Run `pyinfra -y --json INVENTORY DEPLOY ARGS` in the project, as its users do."""
        with self.start(inventory, deploy, *args, env=env) as running:
            try:
                stdout, stderr = running.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
        output = stdout + stderr
        if "this will raise an exception in v4" in output:
            raise CommandFailed(f"pyinfra warns of what its next major version refuses:\n{output}")
        return Result(running.returncode, stdout, stderr)

    def start(
        self, inventory: Path, deploy: str, *args: str, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start such a run, and return its process."""
        # With -y pyinfra doesn't ask before it changes something; with --dry it would plan nothing.
        agreed = [] if "--dry" in args else ["-y"]
        arguments = [*agreed, "--json", str(inventory), deploy, *args]
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "PYINFRA_PROGRESS": "off",
            **(env or {}),
        }
        if self._python is None:
            return Run(arguments, PROJECT, environment)
        return subprocess.Popen(
            [self._python, "-m", "pyinfra", *arguments],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

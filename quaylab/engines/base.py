"""The interface of a container engine: what the rest of Quaylab asks of it.

An engine is one module of this folder with one subclass of :class:`ContainerEngine`;
``__init__.py`` lists them. Each method returns text for a POSIX shell; all values from settings are
quoted in it. No other module knows an engine's command line. What stands here is the same for
Docker's and Podman's clients, which take the same words.
"""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from quaylab.engines.inspected import Objects
from quaylab.engines.log_summary import SUMMARY
from quaylab.engines.state import Engine, EngineState
from quaylab.model import (
    NETWORK,
    NETWORK_LABEL,
    Container,
    Mount,
    Volume,
)


def successful_output(command: str) -> str:
    """Return a command that prints what another one prints if that succeeds, else nothing.

    An engine may write its own error to standard output, Docker for example while a container
    starts.
    """
    printed = 'test -n "$output" && printf \'%s\\n\' "$output"'
    return f"output=$({command} 2>/dev/null) && {printed} || :"


class ContainerEngine(ABC):
    """A container engine.

    Attributes:
        name: its value of the setting ``container_engine``, and its client's command.
        title: its name for people.
        root: where it keeps images and volumes unless it is told otherwise.
        certificates: the folder in which it looks for CAs of registries.
        default_network: its network for containers of which none is said.
        gives_hosts_file: whether containers get the lines of the host's /etc/hosts at their start.
        info: prints what it says of itself, and nothing where it is not installed.
        objects: prints all objects with a name of ours, and the files that containers read.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    root: ClassVar[str]
    certificates: ClassVar[str]
    default_network: ClassVar[str]
    gives_hosts_file: ClassVar[bool]
    info: ClassVar[str]
    objects: ClassVar[str]

    def __repr__(self) -> str:
        return self.name

    def trust(self, registry: str) -> str:
        """Return the file in which the engine looks for a registry's CA."""
        return f"{self.certificates}/{registry}/ca.crt"

    @abstractmethod
    def parse_info(self, output: Sequence[str]) -> Engine | None:
        """Parse the output of ``info``; None if the engine is not installed."""

    @abstractmethod
    def parse_objects(self, output: Sequence[str]) -> Objects:
        """Parse the output of ``objects``; lines of other kinds are ignored.

        Raises:
            ValueError: it can't be read.
        """

    # --- a service's container ---

    def due(self, state: EngineState, wanted: Container) -> str | None:
        """Return what has to be done for a container to run as specified, as EngineState.change
        does."""
        return state.change(wanted)

    @abstractmethod
    def replace(self, container: Container) -> tuple[str, ...]:
        """Create a container in the place of one of ours of this name, if there is one, and start
        it, now and after each boot. If a container of others has the name, the command fails."""

    @abstractmethod
    def apply(self, container: Container, change: str) -> str:
        """Start, unpause or restart a container, or ``update``: give it our restart policy and
        normal priority."""

    @abstractmethod
    def set_shares(self, name: str, shares: int) -> str:
        """Set a running container's shares of the processors."""

    @abstractmethod
    def remove(self, name: str) -> str:
        """Stop an existing container gracefully, and remove it with its anonymous volumes, which
        would pile up; named volumes stay."""

    @abstractmethod
    def remove_ours(self, name: str) -> str:
        """Stop and remove a container of this name if it exists and has our label. A container
        without the label stays, and the engine then refuses the name."""

    def wait_until_healthy(
        self, container: Container, seconds: int, after_boot: bool = False
    ) -> str:
        """Run the container's own health check until it succeeds.

        The wait ends early if the container keeps exiting. The error shows complaints from its log.

        Args:
            after_boot: wait all the time: its disk, or the network, may come late.
        """
        restarts = "echo 0" if after_boot else self.restarts(container.name)
        error = f"{container.name} does not become healthy (health_timeout: {seconds} s); it said:"
        check = self.execute(container.name, container.health)
        return (
            f"restarts() {{ {restarts}; }}; "
            f"begin=$(date +%s); end=$((begin + {seconds})); first=$(restarts); pause=1; "
            # A check takes processor time from what starts, so the pauses grow to half a second.
            f"until {check} >/dev/null 2>&1; do "
            'if test $(($(restarts) - first)) -ge 3 || test "$(date +%s)" -ge "$end"; then '
            f"printf '%s\\n' {shlex.quote(error)} >&2; "
            f"{self.last_lines(container.name)} | awk {shlex.quote(SUMMARY)} >&2; "
            "exit 1; fi; sleep 0.$pause; test $pause = 5 || pause=$((pause + 1)); done"
        )

    @abstractmethod
    def restarts(self, name: str) -> str:
        """Print how often a container was started again after it had ended."""

    @abstractmethod
    def last_lines(self, name: str) -> str:
        """Print the last lines of a container's log. Where the log outlives the container, they
        begin a minute before the time in the shell's variable ``begin``."""

    @abstractmethod
    def make_room(self, name: str) -> str:
        """Return the command with which a container of others gives up its name, for a message to
        people."""

    @abstractmethod
    def logs(self, name: str) -> str:
        """Return the command that shows a container's log, for a message to people."""

    def reload(self, name: str) -> str:
        """Send a container's first process the signal to load its files anew."""
        return f"{self.name} kill --signal=HUP {name} >/dev/null"

    def label(self, name: str, label: str) -> str:
        """Print the value of a container's label."""
        template = "{{index .Config.Labels " + json.dumps(label) + "}}"
        return f"{self.name} inspect --format {shlex.quote(template)} {name}"

    def execute(self, name: str, script: str) -> str:
        """Run a shell command in a container."""
        return f"{self.name} exec {name} sh -c {shlex.quote(script)}"

    def output_of(self, name: str, script: str) -> str:
        """Print what a shell command in a container prints; nothing if it fails or can't be run."""
        return successful_output(self.execute(name, script))

    def execute_words(self, name: str) -> tuple[str, ...]:
        """Return the words before a command in a container that reads standard input."""
        return (self.name, "exec", "--interactive", name)

    def execute_bash(self, name: str, script: str, *words: str, interactive: bool = False) -> str:
        """Run a bash script in a container; in bash RHEL 7's rhscl images have a longer PATH.

        Args:
            script: one word of the host's shell, quoted by the caller if necessary.
            words: the script's $0, $1, and so on.
            interactive: pass standard input on, which has to be a file or a pipe.
        """
        option = "--interactive " if interactive else ""
        return f"{self.name} exec {option}{name} bash -c {script} {shlex.join(words)}"

    def try_execute(self, container: Container, script: str) -> str:
        """Run a script in a container, and go on if it fails, or lasts as long as a stop may."""
        command = self.execute(container.name, script)
        return f"timeout {container.stop_timeout} {command} >/dev/null 2>&1 || :"

    # --- containers for one command ---

    @abstractmethod
    def bind(self, mount: Mount) -> str:
        """Return the value of ``--volume``. With z the engine labels the content for containers if
        SELinux enforces; otherwise it has no effect."""

    @abstractmethod
    def reference_of(self, image: str) -> str:
        """Return an image's name as the engine is to be given it."""

    @property
    @abstractmethod
    def run_words(self) -> str:
        """The words of ``run`` with which no proxy of the host's gets into a container."""

    @property
    @abstractmethod
    def low_shares(self) -> str:
        """The option with which a container has few shares of the processors."""

    def run_once(self, name: str, mounts: Iterable[Mount], image: str, *words: str) -> str:
        """Run a command in a container on our network, and remove the container at its end. The
        client forwards no signals to it, so it keeps running if the run is interrupted. It has few
        shares of the processors, as others serve meanwhile."""
        binds = (f"--volume={self.bind(mount)}" for mount in mounts)
        options = [*binds, self.reference_of(image), *words]
        return (
            f"{self.run_words} --rm --sig-proxy=false --name={name} --network={NETWORK} "
            f"{self.low_shares} {shlex.join(options)}"
        )

    def run_script(self, name: str, mounts: Iterable[Mount], image: str, script: str) -> str:
        """Run a Python script in a container on our network, and remove the container at its end.
        The script reads the command's standard input, which no argument, variable or log shows."""
        binds = [f"--volume={self.bind(mount)}" for mount in mounts]
        words = ["--entrypoint=python3", "--workdir=/", self.reference_of(image), "-c", script]
        return (
            f"{self.run_words} --rm --interactive --sig-proxy=false --name={name} "
            f"--network={NETWORK} {shlex.join([*binds, *words])}"
        )

    def remove_at_once(self, name: str) -> str:
        """Kill and remove a container that a killed run may have left."""
        return f"{self.name} rm --force --volumes {name} >/dev/null 2>&1 || :"

    def remove_when_ended(self, name: str) -> str:
        """Wait for a container that a killed run may have left running, and remove it."""
        return (
            f"{self.name} wait {name} >/dev/null 2>&1; "
            f"{self.name} rm --force --volumes {name} >/dev/null 2>&1 || :"
        )

    def reach(self, container: str, image: str, script: str, *words: str, inside: bool) -> str:
        """Run a bash script in the network of a container, with its name resolution and routes.

        Args:
            words: the script's $0, $1, and so on.
            inside: run it in the container, which has to be up; else in another one of its image.
        """
        arguments = shlex.join(("bash", "-c", script, *words))
        if inside:
            return f"{self.name} exec {container} {arguments}"
        return (
            f"{self.has_network} && on={NETWORK} || on={self.default_network}; "
            f'{self.name} run --rm --network="$on" --entrypoint=bash '
            f"{shlex.quote(self.reference_of(image))} {arguments.removeprefix('bash ')}"
        )

    # --- networks and volumes ---

    @property
    def has_network(self) -> str:
        return f"{self.name} network inspect {NETWORK} >/dev/null 2>&1"

    @property
    def create_network(self) -> str:
        create = f"{self.name} network create --label={NETWORK_LABEL}={NETWORK} {NETWORK}"
        return f"{self.has_network} || {create} >/dev/null"

    @property
    def disconnect_command(self) -> str:
        """The command with which a container leaves a network, without their names, for a message
        to people."""
        return f"{self.name} network disconnect"

    @property
    def remove_network_command(self) -> str:
        """The command that removes our network, for a message to people."""
        return f"{self.name} network rm {NETWORK}"

    @property
    def remove_network(self) -> str:
        """The command that removes our network, unless others made it or use it."""
        label = "{{index .Labels " + json.dumps(NETWORK_LABEL) + "}}"
        inspect = f"{self.name} network inspect --format {shlex.quote(label)} {NETWORK}"
        unlabelled = (
            f"the network {NETWORK} stays: it was made by others, or by an earlier Quaylab; to "
            f"remove it: {self.remove_network_command}"
        )
        return (
            f'if test -z "$({inspect})"; then echo {shlex.quote(unlabelled)} >&2; '
            f'elif test -z "$({self.name} ps --all --quiet --filter network={NETWORK})"; '
            f"then {self.remove_network_command} >/dev/null; "
            f"else echo 'the network {NETWORK} has containers of others, and stays' >&2; fi"
        )

    def volume_arguments(self, volume: Volume) -> list[str]:
        """Return the arguments of ``volume create``."""
        labels = [f"--label={name}={value}" for name, value in sorted(volume.labels.items())]
        options = (
            ["--opt=type=none", "--opt=o=bind", f"--opt=device={volume.device}"]
            if volume.path
            else []
        )
        return [*options, *labels, volume.name]

    def volume_command(self, volume: Volume) -> str:
        """Return the command that creates a volume, for a message to people."""
        return f"{self.name} volume create {shlex.join(self.volume_arguments(volume))}"

    def create_volume(self, volume: Volume) -> str:
        return f"{self.volume_command(volume)} >/dev/null"

    def remove_volume_command(self, name: str) -> str:
        """Return the command that removes a volume, for a message to people."""
        return f"{self.name} volume rm {shlex.quote(name)}"

    def mountpoint(self, volume: str) -> str:
        """Print the directory of a volume of the engine's own."""
        return f"{self.name} volume inspect --format '{{{{.Mountpoint}}}}' {shlex.quote(volume)}"

    def remove_volume(self, name: str, device: str | None = None) -> str:
        """Remove a volume.

        Args:
            device: its host directory, if that goes for good as well.
        """
        return f"{self.remove_volume_command(name)} >/dev/null"

    # --- images ---

    @abstractmethod
    def pull(self, image: str, user: str, has_secret: bool = False) -> str:
        """Pull an image with the logins of one of the host's users.

        Args:
            has_secret: ``pull_secret`` is in that user's ``.docker/config.json``, so that no login
                of another file counts.
        """

    @abstractmethod
    def build(self, image: str, arguments: Mapping[str, str], context: str) -> str:
        """Build an image from an archive.

        Args:
            context: the archive, as one word of the shell.
        """

    @abstractmethod
    def build_base(self, image: str, script: str) -> str:
        """Run images/base/build, which calls the engine's client ``docker``.

        Args:
            script: its path, as one word of the shell.
        """

    def load(self, archive: str) -> str:
        return f"{self.name} load --input {archive} >/dev/null"

    def hand_image(self, image: str, receiver: ContainerEngine) -> str:
        """Give an image to another engine of the host."""
        reference = shlex.quote(self.reference_of(image))
        return (
            f"{self.name} save {reference} | {receiver.name} load >/dev/null; "
            # A pipe has the exit status of its end.
            f"{receiver.has_image(image)}"
        )

    def has_image(self, image: str) -> str:
        """Succeed if the host has an image."""
        return f"{self.name} image inspect {shlex.quote(self.reference_of(image))} >/dev/null 2>&1"

    def tag_command(self, identity: str, reference: str) -> str:
        """Return the command that gives an image a name, for a message to people."""
        return f"{self.name} tag {shlex.join((identity, self.reference_of(reference)))}"

    def remove_image_command(self, reference: str) -> str:
        """Return the command that removes an image, for a message to people."""
        return f"{self.name} image rm {shlex.quote(reference)}"

    def remove_image(self, image: str) -> str:
        return f"{self.remove_image_command(self.reference_of(image))} >/dev/null"

    # --- registries ---

    def login_command(self, user: str, registry: str) -> str:
        """Return the command with which a user logs in at a registry, for a message to people."""
        return f"{self.name} login -u {shlex.join((user, registry))}"

    @property
    @abstractmethod
    def identities(self) -> str:
        """A function of the shell that prints id and digests of images, one line for each. It fails
        if one is missing."""

    @property
    def image_report(self) -> str:
        """Prints name, identity and recorded identity of images. "$@" are pairs: an image's name,
        and the file that records its identity."""
        return f"identities() {{\n{self.identities}\n}}\n{IMAGE_REPORT}"


# One call for all; one call for each if some are missing.
IMAGE_REPORT = """\
names=; for word do case $word in /*) ;; *) names="$names $word" ;; esac; done
if found=$(identities $names 2>/dev/null); then :; else
    found=$(for name in $names; do echo "$(identities "$name" 2>/dev/null)"; done)
fi
printf '%s\\n' "$found" | while read -r found; do
    test -z "$found" ||
        echo "$1|$found|$(cat "$2" 2>/dev/null | tr -cd '[:alnum:]@:/._ -')"
    shift 2
done"""

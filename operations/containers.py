"""Containers by their specification: what runs is compared with what has to run."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, logger, state
from pyinfra.api import QuoteString, StringCommand, operation

from facts.containers import ContainerState, Engine, EngineState, Succeeds, Written
from operations.commands import fail, quoted
from quaylab.containers import DIGEST_LABEL, NETWORK, RESTART_POLICY, Container
from quaylab.engines.log_summary import LINES, SUMMARY
from quaylab.parts import Part, Volume

# Without root's configuration, whose `proxies` the client would give to every container.
RUN = "DOCKER_CONFIG=/nonexistent docker run"
# What ends a container that runs, in words.
ENDS = {"replace": "replaced", "restart": "restarted"}


@operation()
def running(part: Part, timeout: int) -> Generator[StringCommand]:
    """Keep a part's network, volume and container as specified, and wait until it is healthy.

    + part: the part with its container
    + timeout: seconds it has to become healthy

    A container whose label bears another digest is replaced: the label covers image, options,
    command and every mounted file, so a run that died between "file written" and "restarted" is
    finished by the next.

    **Example:**

    .. code:: python

        containers.running(
            name="Run Redis",
            part=lab.redis,
            timeout=60,
        )
    """
    wanted = part.container
    engine = host.get_fact(Engine)
    if engine.network_is_internal:
        yield fail(
            f"{host.name}: the network {NETWORK} was made by hand with --internal, so published "
            "ports lead nowhere; disconnect what is in it (docker network disconnect), remove it "
            f"(docker network rm {NETWORK}), and run again"
        )
        return
    yield from ground(part, engine)
    change = due(engine, wanted)
    if change is None and _refuses_password(part):
        # Changed by hand, in the service or in a file of its container: each start sets it again.
        change = "replace"
    if change is None:
        host.noop(f"{wanted.name} runs as specified and is healthy")
        return
    found = engine.containers.get(wanted.name)
    if found and found.digest and found.state == "running" and change in ENDS:
        yield from _end(part, ENDS[change])
    if change == "replace":
        # One that isn't ours stays: the engine gives no name a second time. A killed run's may have
        # come up only now. Anonymous volumes of the image would pile up; named ones stay.
        ours = f"--filter label={DIGEST_LABEL} --filter name=^/{wanted.name}$"
        ours = f"$(docker ps --all --quiet {ours})"
        yield StringCommand(f"docker stop {ours} >/dev/null 2>&1 || :")
        yield StringCommand(f"docker rm --force --volumes {ours} >/dev/null 2>&1 || :")
        yield StringCommand(RUN, quoted(*wanted.run_arguments()), ">/dev/null")
    elif change != "wait":
        if change == "restart":
            # A file whose time is in the future would have it restarted by every run.
            yield StringCommand("touch", quoted(*(path for path, _ in wanted.files)))
        yield StringCommand(f"docker {change} {wanted.name} >/dev/null")
    if wanted.health:
        yield wait_until_healthy(wanted, timeout)


def _end(part: Part, how: str) -> Generator[StringCommand]:
    """Begin to stop a container that runs, in the way that its clients miss it the shortest."""
    name = part.container.name
    if part.interruption and not state.is_executing:
        # While the run is planned, so that it is known before it is agreed to.
        notice = f"{name} will be {how}: {part.interruption}"
        host.log_styled(notice, fg="yellow", log_func=logger.warning)
    if part.before_stop:
        patience = part.container.stop_timeout
        yield StringCommand(
            f"timeout {patience} docker exec {name} sh -c", QuoteString(part.before_stop),
            ">/dev/null 2>&1 || :",
        )  # fmt: skip


@operation()
def absent(container: str) -> Generator[StringCommand]:
    """Remove a container with its anonymous volumes; named volumes stay.

    + container: the container's name
    """
    if container not in host.get_fact(Engine).containers:
        host.noop(f"{container} is not there")
        return
    yield from remove(container)


def remove(container: str) -> Generator[StringCommand]:
    """Stop a container that is there, in order, and remove it with its anonymous volumes."""
    yield StringCommand(f"docker stop {container} >/dev/null")
    yield StringCommand(f"docker rm --force --volumes {container} >/dev/null")


def ground(part: Part, engine: EngineState) -> Generator[StringCommand]:
    """The network and the volume that a part's containers stand on, where they are missing."""
    if NETWORK not in engine.networks:
        yield StringCommand(f"docker network create {NETWORK} >/dev/null")
    if part.volume and part.volume.name not in engine.volumes:
        yield from _make_volume(part.volume)


def wait_until_healthy(container: Container, timeout: int) -> StringCommand:
    """Ask the container's own health check until it is content.

    A container that keeps exiting is not waited for. The error shows what it complained of.
    """
    late = f"{container.name} does not become healthy (health_timeout: {timeout} s); it said:"
    return StringCommand(
        "restarts() {",
        f"docker inspect --format '{{{{.RestartCount}}}}' {container.name} || echo 99; }};",
        f"end=$(($(date +%s) + {timeout})); first=$(restarts);",
        f"until docker exec {container.name} sh -c", QuoteString(container.health),
        ">/dev/null 2>&1; do",
        'if test $(($(restarts) - first)) -ge 3 || test "$(date +%s)" -ge "$end"; then',
        "printf '%s\\n'", QuoteString(late), ">&2;",
        f"docker logs --tail {LINES} {container.name} 2>&1 | awk", QuoteString(SUMMARY),
        ">&2; exit 1; fi;",
        "sleep 0.5; done",
    )  # fmt: skip


def due(engine: EngineState, wanted: Container) -> str | None:
    """What to do about a container: replace, start, unpause, restart, update, wait, or nothing."""
    found = engine.containers.get(wanted.name)
    if found is None or found.digest != wanted.digest or not _is_made_as(found, wanted, engine):
        return "replace"
    if found.state == "paused":
        return "unpause"
    if found.state != "running":
        return "start"
    if any(_misread(engine.files.get(path), sha256, found) for path, sha256 in wanted.files):
        return "restart"
    if found.restart_policy != RESTART_POLICY:
        return f"update --restart={RESTART_POLICY}"
    if found.health in ("healthy", None):
        return None
    # The engine asks only every few seconds: one that was just started is "starting" for it.
    healthy = host.get_fact(Succeeds, container=wanted.name, command=wanted.health)
    return None if healthy else "wait"


def _refuses_password(part: Part) -> bool:
    name, command = part.container.name, part.password_refused
    return bool(command) and host.get_fact(Succeeds, container=name, command=command)


def _misread(file: Written | None, sha256: str, reader: ContainerState) -> bool:
    """Whether a container may have read a file as it was before this run put it right, or, while
    the run is planned, before it will."""
    return file is None or file.sha256 != sha256 or file.at > reader.started


def _is_made_as(found: ContainerState, wanted: Container, engine: EngineState) -> bool:
    """Whether a container is what its label says: it may have been made by hand."""
    environment = {**(found.image_environment or {}), **dict(wanted.environment)}
    return (
        found.image == wanted.image
        and not found.outdated
        # Of a network that was removed and made anew, a container has the name and the old id.
        and NETWORK in found.networks
        and found.networks[NETWORK] in ("", engine.networks.get(NETWORK))
        and found.ports == {str(port) for port in wanted.ports}
        and all(found.mounts.get(mount.target) == mount.source for mount in wanted.mounts)
        and (not wanted.command or found.command == wanted.command)
        and (found.image_environment is None or found.environment == environment)
    )


def _make_volume(volume: Volume) -> Generator[StringCommand]:
    if volume.device:
        foreign = (
            f"{volume.device} holds data that is not known to be this registry's; move it away, or "
            "name another directory"
        )
        yield StringCommand(
            f"install -d -m 0700 -o {volume.uid} -g 0", QuoteString(volume.device),
            '&& test -z "$(ls -A', QuoteString(volume.device), ')" || {', fail(foreign), "; }",
        )  # fmt: skip
    yield StringCommand("docker volume create", quoted(*volume.create_arguments()), ">/dev/null")

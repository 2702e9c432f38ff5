"""What a former container engine of a host has kept after the data was moved."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from facts import engines
from facts.images import Images
from operations.hosts.trust import own_authorities, remove_ca
from operations.runtime.commands import refusals
from operations.runtime.observation import ask_each
from quaylab.checks.engine_choice import read_note
from quaylab.engines import BY_NAME, ENGINES, ContainerEngine
from quaylab.engines.state import FoundVolume
from quaylab.model import NETWORK
from quaylab.paths import ENGINE_NOTE
from quaylab.plan import Plan, refuse_teardown
from quaylab.problems import refuse


def former(plan: Plan) -> ContainerEngine:
    """Return the engine that is named to be purged.

    Raises ``DeployError`` if none is named, if a host uses it or can't tell what it holds, or if a
    host is another registry's.
    """
    named = plan.settings.purge_engine
    with refusals():
        if named is None:
            refuse(["purge_engine: not set; set it to the engine that the registry has left"])
        refuse(
            f"purge_engine: {name} uses {BY_NAME[named].title}, so its data is no copy; only the "
            "other engine's can be removed"
            for name in plan.engine_machines
            if plan.engine_of(name).name == named
        )
        refuse_teardown(plan)
        refuse(problem for name in plan.engine_machines for problem in _only_there(plan, name))
    assert named
    return BY_NAME[named]


def other(plan: Plan, name: str) -> ContainerEngine:
    """Return the engine that a connected host does not use."""
    (found,) = (engine for engine in ENGINES if engine is not plan.engine_of(name))
    return found


def has_former(plan: Plan, name: str) -> bool:
    """Whether a connected host has a note of a move, and so maybe data in two engines."""
    return read_note(plan.machines[name]) is not None


def _only_there(plan: Plan, name: str) -> Iterator[str]:
    """Yield data of this registry that a host has in the former engine alone."""
    former, used = other(plan, name), plan.engine_of(name)
    there = {each.name: each for each in plan.machines[name].volumes}
    for volume in _volumes(plan, name, former):
        found = there.get(volume.name)
        if found is None or (found.empty and not volume.empty):
            yield (
                f"purge_engine: {name} has the data of {volume.name} in {former.title} alone, and "
                f"not in {used.title}, so it stays; if you don't need it, run there: "
                f"{former.remove_volume_command(volume.name)}"
            )


def _volumes(plan: Plan, name: str, engine: ContainerEngine) -> list[FoundVolume]:
    """Return the volumes of this registry in one of a host's engines."""
    return plan.machines[name].using(engine.name).owned_volumes(plan.credentials.fingerprint)


@operation()
def data_removed(plan: Plan, engine: ContainerEngine) -> Generator[StringCommand]:
    """Remove containers, network, volumes and CA of this registry from an engine that the host has
    left, and then the note of the move. Host directories stay: the other engine uses them.

    + plan: the run's plan
    + engine: the engine
    """
    if not has_former(plan, host.name):
        host.noop(f"no data was moved away from {engine.title}")
        return
    found = plan.machines[host.name].using(engine.name)
    for name in found.state.containers:
        yield StringCommand(engine.remove(name))
    if NETWORK in found.state.networks:
        yield StringCommand(engine.remove_network)
    for volume in _volumes(plan, host.name, engine):
        yield StringCommand(engine.remove_volume(volume.name))
    for ca_file in own_authorities(plan, engine, [plan.topology.registry]):
        yield remove_ca(ca_file)
    yield StringCommand(f"rm -f {ENGINE_NOTE}")


@operation()
def images_removed(plan: Plan, engine: ContainerEngine) -> Generator[StringCommand]:
    """Remove the registry's images from an engine that the host has left; those that containers of
    others use stay.

    + plan: the run's plan
    + engine: the engine
    """
    if not has_former(plan, host.name):
        host.noop(f"no data was moved away from {engine.title}")
        return
    with engines.using(engine):
        found = ask_each(Images, [image.reference for image in plan.images_of(host.name)])
    if not found:
        host.noop(f"{engine.title} has no image of the registry's")
    # Each before the one it is built on.
    for reference in reversed(found):
        stays = f"echo '{engine.title} goes on using an image of the registry, which stays' >&2"
        yield StringCommand(f"{engine.remove_image(reference)} || {stays}")

"""Which container engine a host uses: one only, and never another than the one with our data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from quaylab.checks import ownership
from quaylab.engines import BY_NAME, DOCKER, ENGINES, PODMAN, ContainerEngine
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.paths import ENGINE_NOTE, REGISTRY_NOTE
from quaylab.settings.loading import Settings

# The task that moves the data, and the one that removes what it has left.
MOVE, PURGE = "tasks/move_engine.py", "tasks/purge_engine.py"
# The first releases with Podman 4.9. RHEL has it in all that get updates.
NEW_ENOUGH = {"debian": 13, "ubuntu": 24}


class EngineNote(NamedTuple):
    """A host's note of the engine that has the data. Since ``since`` it has it alone, and what
    others keep is older; without a time what others have is a copy that was not completed."""

    engine: ContainerEngine
    since: str


def note(engine: ContainerEngine, since: str = "") -> ManagedFile:
    """Return the note; ``since`` is a time without blanks."""
    return ManagedFile(ENGINE_NOTE, " ".join(filter(None, (engine.name, since))) + "\n")


def read_note(machine: Machine) -> EngineNote | None:
    """Return a host's note; None if its data was never moved."""
    match (machine.engine_note or "").split():
        case [name, *since] if name in BY_NAME:
            return EngineNote(BY_NAME[name], since[0] if since else "")
    return None


def holder(machine: Machine) -> ContainerEngine | None:
    """Return the engine that has the registry's data, or, where nothing of it is seen, by which the
    host served it last: not every host has volumes, and containers may be gone; None for a new one.
    """
    if noted := read_note(machine):
        return noted.engine
    with_ours = [name for name, report in machine.engines.items() if report.ours]
    if with_ours:
        return BY_NAME[with_ours[0]]
    served = ownership.read_note(machine)
    return BY_NAME.get(served.engine) if served else None


def choose(machine: Machine, settings: Settings) -> ContainerEngine:
    """Return the engine that a host uses: what is set, else the registry's there, else its
    distribution's."""
    if settings.container_engine:
        return BY_NAME[settings.container_engine]
    if found := holder(machine):
        return found
    return PODMAN if machine.ships_podman and not may_hide_data(machine, DOCKER) else DOCKER


def may_hide_data(machine: Machine, engine: ContainerEngine) -> bool:
    """Whether an engine that doesn't answer, or whose package was removed, may have the data of the
    registry that a host serves: its volumes are not seen. A first run that failed has noted the
    registry, and its engine."""
    report, noted = machine.engines.get(engine.name), ownership.read_note(machine)
    if machine.registry is None or report is None:
        return False
    if report.engine is None:
        return noted is not None and noted.engine == engine.name
    return report.is_silent and (noted is None or noted.engine in ("", engine.name))


def source(machine: Machine, settings: Settings) -> ContainerEngine:
    """Return the engine that has the data before a move to the one that is set, which is that one
    itself where there is nothing to move."""
    if found := holder(machine):
        return found
    hiding = [engine for engine in ENGINES if may_hide_data(machine, engine)]
    return hiding[0] if hiding else choose(machine, settings)


def problems(name: str, machine: Machine) -> Iterator[str]:
    """Yield what another engine than the chosen one has of ours: the two would share ports, files
    and notes, and the data would seem to be lost."""
    chosen, noted = BY_NAME[machine.container_engine], read_note(machine)
    for other, report in machine.engines.items():
        if other == chosen.name or (noted and noted.engine is chosen):
            continue
        if noted:
            yield (
                f"container_engine: the data of {name} is in {noted.engine.title} "
                f"({ENGINE_NOTE} there), and this run uses {chosen.title}; set it to "
                f"{noted.engine.name}, or move the data: {MOVE}"
            )
        elif report.ours:
            yield (
                f"container_engine: {name} has {', '.join(report.ours)} in {BY_NAME[other].title}, "
                f"and this run uses {chosen.title}; set it to {other}, or move the data first: "
                f"{MOVE}"
            )
        elif may_hide_data(machine, BY_NAME[other]) and not machine.engines[chosen.name].ours:
            state = "does not answer; start it"
            if report.engine is None:
                state = (
                    "is not installed; install it again, or, if it held nothing of the registry, "
                    f"remove {REGISTRY_NOTE} there"
                )
            yield (
                f"container_engine: {name} serves a registry of which {chosen.title} has nothing, "
                f"and {BY_NAME[other].title}, which may have its data, {state}"
            )
    if chosen is PODMAN:
        yield from unfit_for_podman(name, machine)


def purge_problems(name: str, machine: Machine) -> Iterator[str]:
    """Yield why a purge can't remove what the other engine of a move has: nobody sees it, and a
    removed package leaves it on the disk."""
    if read_note(machine) is None:
        return
    for other, report in machine.engines.items():
        answers = report.engine is not None and report.engine.version is not None
        if other == machine.container_engine or answers:
            continue
        engine, state = BY_NAME[other], "does not answer; start it"
        if not report.is_silent:
            state = (
                f"is not installed; install it again, or remove its volumes below {engine.root} by "
                "hand, and then that note"
            )
        yield (
            f"{name}: {ENGINE_NOTE} there notes a move of the data, and {engine.title}, whose "
            f"volumes would stay, {state}"
        )


def unfit_for_podman(name: str, machine: Machine) -> Iterator[str]:
    """Yield why a host can't use Podman, whichever it has."""
    podman = machine.engines.get(PODMAN.name)
    reasons = {
        "runs no systemd, which starts Podman's containers": not machine.systemd,
        "runs RHEL 7, which has no Podman 4.9": machine.is_rhel_7,
        f"runs {machine.os_id} {machine.os_version}, whose Podman is older than 4.9": (
            machine.os_id in NEW_ENOUGH
            # Debian's testing and unstable have none.
            and machine.os_version != ""
            and machine.os_major < NEW_ENOUGH[machine.os_id]
            and not (podman and podman.engine)
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            yield f"container_engine: {name} {reason}; set it to {DOCKER.name}"
    if not machine.cgroup_v2:
        yield (
            f"container_engine: {name} is on cgroup v1, with which Quadlet makes no services; "
            f"set it to {DOCKER.name}, or switch to v2 there and reboot: "
            "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1"
        )


def move_problems(name: str, machine: Machine, settings: Settings) -> Iterator[str]:
    """Yield why the data of a host, which uses its source, can't be moved to the engine that is
    set."""
    if settings.container_engine is None:
        names = " or ".join(BY_NAME)
        yield f"container_engine: not set; set it to the engine to move to: {names}"
        return
    target, before = BY_NAME[settings.container_engine], BY_NAME[machine.container_engine]
    if before is target:
        yield from problems(name, machine)
        return
    report, noted = machine.engines[target.name], read_note(machine)
    if machine.hides_data:
        yield f"{name}: its {before.title} does not answer, so nothing can be moved; start it"
    elif machine.engine is None and not machine.engines[before.name].ours:
        yield f"{name}: its {before.title} is not installed, so nothing can be moved; install it"
    if report.engine and report.engine.unsupported:
        yield f"{name}: its `{target.name}` is {report.engine.unsupported}"
    if target is PODMAN:
        yield from unfit_for_podman(name, machine)
    if not report.ours:
        return
    kept = f"container_engine: {target.title} of {name} has {', '.join(report.ours)}"
    if noted is None:
        yield (
            f"{kept}, and so has {before.title}, and no note says which is the registry's; remove "
            f"the other, for example: {target.remove_volume_command('NAME')}"
        )
    elif noted.since:
        yield (
            f"{kept} from before the move of {noted.since}, and nothing is overwritten; remove it: "
            f"{PURGE} --data purge_engine={target.name}"
        )

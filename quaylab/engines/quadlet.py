"""Podman with Quadlet: a container is a unit, which systemd keeps running."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from quaylab.engines import units
from quaylab.engines.base import ContainerEngine
from quaylab.engines.inspected import Objects
from quaylab.engines.log_summary import LINES
from quaylab.engines.podman_report import (
    GENERATOR,
    INFO,
    NORMAL_WEIGHT,
    OBJECTS,
    objects,
    report,
)
from quaylab.engines.state import Engine, EngineState
from quaylab.images import BASES, full_name
from quaylab.model import (
    DIGEST_LABEL,
    LOW_SHARES,
    NORMAL_SHARES,
    RESTART_POLICY,
    Container,
    Mount,
    Volume,
)

# How many of a service's messages are shown if it does not start.
MESSAGES = 5


class Quadlet(ContainerEngine):
    """Podman, which has no daemon: systemd starts containers from units that Quadlet reads."""

    name = "podman"
    title = "Podman"
    root = "/var/lib/containers/storage"
    certificates = "/etc/containers/certs.d"
    default_network = "podman"
    # containers.conf(5), base_hosts_file.
    gives_hosts_file = True
    info = INFO
    objects = OBJECTS
    run_words = "podman run --http-proxy=false"
    # Without the kernel's controller Podman refuses the option, which Docker then ignores.
    low_shares = (
        "$(! grep --quiet --word-regexp cpu /sys/fs/cgroup/cgroup.controllers || "
        f"echo --cpu-shares={LOW_SHARES})"
    )

    def parse_info(self, output: Sequence[str]) -> Engine | None:
        return report(output)

    def parse_objects(self, output: Sequence[str]) -> Objects:
        return objects(output)

    # --- a service's container ---

    def due(self, state: EngineState, wanted: Container) -> str | None:
        if change := super().due(state, wanted):
            return change
        unit = state.files.get(units.path(wanted.name))
        return None if unit and unit.sha256 == units.sha256(wanted) else "update"

    def replace(self, container: Container) -> tuple[str, ...]:
        name, service = container.name, units.service(container.name)
        taken = f"a container {name} is there that Quaylab has not made; nothing was replaced"
        label = "{{index .Config.Labels " + json.dumps(DIGEST_LABEL) + "}}"
        return (
            # Quadlet's services replace a container of their name, whoever has made it. This is one
            # question: between two, systemd may start ours.
            f"! label=$(podman container inspect --format {shlex.quote(label)} {name} 2>/dev/null)"
            f' || test -n "$label" || {{ echo {shlex.quote(taken)} >&2; exit 1; }}; '
            f"{_place(container)} && {{ {_remove_container(name)}; {_start(service)}; }}",
        )

    def apply(self, container: Container, change: str) -> str:
        name, service = container.name, units.service(container.name)
        steps = {
            "update": f"systemctl set-property --runtime {service} CPUWeight={NORMAL_WEIGHT}",
            "unpause": f"podman unpause {name} >/dev/null",
        }
        return f"{_place(container)} && {steps.get(change) or _start(service)}"

    def set_shares(self, name: str, shares: int) -> str:
        weight = max(1, shares * NORMAL_WEIGHT // NORMAL_SHARES)
        return f"systemctl set-property --runtime {units.service(name)} CPUWeight={weight}"

    def remove(self, name: str) -> str:
        # The unit goes first, so that no boot starts it again if the run is killed here; systemd
        # still knows how to stop it.
        return (
            f"rm -f {units.path(name)}; {_stop(name)}; "
            f"podman rm --force --ignore --volumes {name} >/dev/null && systemctl daemon-reload"
        )

    def remove_ours(self, name: str) -> str:
        path = units.path(name)
        return (
            f"! grep --quiet --no-messages {DIGEST_LABEL} {path} || rm -f {path}; "
            f"{_remove_container(name)}; systemctl daemon-reload"
        )

    def restarts(self, name: str) -> str:
        return f"systemctl show --property=NRestarts --value {units.service(name)}"

    def last_lines(self, name: str) -> str:
        # The container's own lines, without what Podman says of it.
        return (
            f"journalctl CONTAINER_NAME={name} --since=@$((begin - 60)) --lines={LINES} "
            "--output=cat --no-pager 2>&1 | sed '/^$/d'"
        )

    def make_room(self, name: str) -> str:
        return f"podman rename {name} NAME, and if it has a unit, mv {units.path(name)} ELSEWHERE"

    def logs(self, name: str) -> str:
        return f"podman logs {name}"

    def bind(self, mount: Mount) -> str:
        return units.bind(mount)

    # --- volumes ---

    def create_volume(self, volume: Volume) -> str:
        create = super().create_volume(volume)
        return f"{_labelled(volume.device)} && {create}" if volume.device else create

    def remove_volume(self, name: str, device: str | None = None) -> str:
        remove = super().remove_volume(name)
        return f"{_forgotten(device)} && {remove}" if device else remove

    # --- images ---

    # Names are completed here as Docker does it: what Podman makes of short ones depends on how
    # the image came and on the host's registries.conf.
    identities = """
for name do
    shift
    case $name in */*) first=${name%%/*} ;; *) first= ;; esac
    case $first in
    localhost | *.* | *:*) ;;
    "") name=docker.io/library/$name ;;
    *) name=docker.io/$name ;;
    esac
    set -- "$@" "$name"
done
podman image inspect --format 'sha256:{{.Id}}{{range .RepoDigests}} {{.}}{{end}}' "$@"
"""

    def reference_of(self, image: str) -> str:
        return full_name(image)

    def load(self, archive: str) -> str:
        # If an archive has several images, Podman makes short names localhost's.
        complete = (
            "sed -n 's|^Loaded image: localhost/||p' | while read -r name; do "
            "case $name in */*) full=docker.io/$name ;; *) full=docker.io/library/$name ;; esac; "
            'podman tag "localhost/$name" "$full"; done'
        )
        return (
            f"{{ names=$(podman load --quiet --input {archive}) && "
            f"printf '%s\\n' \"$names\" | {complete}; }}"
        )

    def pull(self, image: str, user: str, has_secret: bool = False) -> str:
        home = f"home=$(getent passwd {user} | cut -d: -f6)"
        # Without it the login of an earlier `podman login` precedes.
        logins = '--authfile="$home/.docker/config.json" ' if has_secret else ""
        name = shlex.quote(full_name(image))
        return f'{home}; HOME="$home" podman pull --quiet {logins}{name} >/dev/null'

    def build(self, image: str, arguments: Mapping[str, str], context: str) -> str:
        options = shlex.join(
            f"--build-arg={name}={full_name(value) if name in BASES else value}"
            for name, value in arguments.items()
        )
        return (
            f"{{ folder=$(mktemp -d) && tar -C $folder -xf {context} && "
            # Docker's format, as an image of the other one has no health check.
            # Without cached layers: one is reused also if it was made with another value of an
            # argument that only ENV and LABEL use (buildah's issue 5501).
            "podman build --quiet --format=docker --pull=never --layers=false "
            f"--tag {shlex.quote(full_name(image))} {options} $folder >/dev/null; "
            "built=$?; rm -rf $folder; (exit $built); }"
        )

    def build_base(self, image: str, script: str) -> str:
        calls_podman = """docker() { podman "$@"; }; script=$1; shift; . "$script\""""
        return f"sh -c {shlex.quote(calls_podman)} sh {script} {shlex.quote(full_name(image))}"


def _place(container: Container) -> str:
    """Put a container's unit in its place, once the generator has accepted it, and tell systemd."""
    name, text = container.name, shlex.quote(units.unit(container))
    path, service = units.path(name), units.service(name)
    refused = f"Podman's generator refuses the unit of {name}; nothing was replaced"
    wanted = f"FragmentPath={units.service_path(name)} Restart={RESTART_POLICY} "
    preceded = f"another unit than {path} makes {service}; move it away: "
    changed = f"somebody has changed {service}; take that back: systemctl revert {service}; found: "
    *others, own = units.drop_in_folders(name)
    unmade = (
        f"Podman's generator makes no service of {name}; the reason is above, and may be a drop-in "
        f"in {', '.join(others)} or {own} of {units.FOLDER}: repair or remove it"
    )
    properties, is_source = "FragmentPath,Restart,SourcePath", f'test "$source" -ef {path}'
    about = (f"{name}.container", *(f"/{each}/" for each in others))
    lines = shlex.join(f"--regexp={each}" for each in about)
    return (
        "folder=$(mktemp -d) && "
        f"printf %s {text} >$folder/{name}.container && "
        f"said=$(QUADLET_UNIT_DIRS=$folder {GENERATOR} --dryrun 2>&1 >/dev/null); accepted=$?; "
        "rm -r $folder; test $accepted = 0 || "
        f"{{ printf '%s\\n' \"$said\" {shlex.quote(refused)} >&2; exit 1; }}; "
        f"install -d {units.FOLDER} && printf %s {text} >{path}.new && "
        # Else a power cut could leave an empty unit.
        f"sync {path}.new && mv -f {path}.new {path} && "
        f"systemctl unmask --quiet {service} 2>/dev/null && "
        f"systemctl unmask --quiet --runtime {service} 2>/dev/null && "
        "systemctl daemon-reload && "
        # A service or a drop-in of that name in systemd's own folders precedes ours, and so does a
        # unit in another of Quadlet's folders, as in /run/containers/systemd.
        f"found=$(systemctl show --property={properties} {service} | sort | tr '\\n' ' ') && "
        "source=${found##*SourcePath=} && source=${source% } && "
        f'{{ test "${{found%SourcePath=*}}" = {shlex.quote(wanted)} && {is_source} || '
        # The folders may be symbolic links.
        f'{{ if test -n "$source" && ! {is_source}; '
        f'then echo {shlex.quote(preceded)}"$source" >&2; else case $found in '
        f'*FragmentPath=/*) echo {shlex.quote(changed)}"$found" >&2 ;; '
        # With the host's drop-ins, which the generator has not seen above.
        f"*) {GENERATOR} --dryrun 2>&1 >/dev/null | grep --fixed-strings {lines} >&2; "
        f"echo {shlex.quote(unmade)} >&2 ;; esac; fi; exit 1; }}; }}"
    )


def _start(service: str) -> str:
    return (
        f"{{ systemctl reset-failed {service} 2>/dev/null; systemctl restart {service} || {{ "
        f"journalctl --unit={service} --output=cat --no-pager --lines={MESSAGES} >&2; "
        "exit 1; }; }"
    )


def _labelled(directory: str) -> str:
    """Let containers use a directory of the host, with what another engine has stored in it, if
    SELinux enforces. What is made in it later has its type as well, and so it stays if all labels
    of the host are set anew."""
    quoted, pattern = shlex.quote(directory), _pattern(directory)
    return (
        "{ ! selinuxenabled 2>/dev/null || { "
        f"{{ semanage fcontext --add --type container_file_t {pattern} 2>/dev/null || "
        f"semanage fcontext --modify --type container_file_t {pattern}; }} && "
        f"restorecon -R {quoted}; }}; }}"
    )


def _forgotten(directory: str) -> str:
    """Remove SELinux's rule for a directory, which may be gone."""
    delete = f"semanage fcontext --delete {_pattern(directory)} 2>/dev/null"
    return f"{{ ! selinuxenabled 2>/dev/null || {delete} || :; }}"


def _pattern(directory: str) -> str:
    """Return what SELinux's rules call a directory with all that is in it, quoted."""
    return shlex.quote(f"{re.escape(directory)}(/.*)?")


def _stop(name: str) -> str:
    return f"systemctl stop {units.service(name)} 2>/dev/null"


def _ours(name: str) -> str:
    return f"$(podman ps --all --quiet --filter name=^{name}$ --filter label={DIGEST_LABEL})"


def _remove_container(name: str) -> str:
    """Stop a container gracefully, also one of ours that systemd knows nothing of."""
    return (
        f'{_stop(name)}; ours={_ours(name)}; test -z "$ours" || '
        "{ podman stop $ours >/dev/null 2>&1; podman rm --force --volumes $ours >/dev/null 2>&1; }"
    )


PODMAN = Quadlet()

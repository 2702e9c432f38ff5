"""A Ceph cluster of several hosts, deployed by cephadm."""

from __future__ import annotations

import json
import shlex
from collections.abc import Generator

from pyinfra import host, inventory, logger
from pyinfra.api import Host, QuoteString, State, StringCommand, operation

from facts.ceph import AUTHORIZED_KEYS, Ceph, Cephadm, CephadmState, json_line
from facts.engines import engine_of, host_engine
from operations.runtime.commands import (
    apt_install,
    complain,
    fail,
    inventory_arguments,
    quoted,
)
from operations.runtime.observation import ask
from operations.runtime.waiting import wait
from quaylab.paths import CEPH_NOTE, GATEWAYS_NOTE, VAR
from quaylab.plan import Plan
from quaylab.services import ceph, cephadm
from quaylab.services.object_store import gateway_port

# Without the option it would wait for ever for monitors that can't agree.
CEPH = ("ceph", "--connect-timeout=10")


@operation()
def prepared(plan: Plan) -> Generator[StringCommand]:
    """Install what cephadm needs on a host, and authorize the SSH key of the cluster's manager.

    + plan: the run's plan
    """
    found = _state(plan)
    missing = [name for name in cephadm.PACKAGES if name not in found.packages]
    if missing:
        words = quoted(*missing)
        if plan.machines[host.name].debian_family:
            yield apt_install(words)
        else:
            yield StringCommand(
                "dnf install --quiet --assumeyes", words, "&& systemctl enable --now chronyd"
            )
    if not found.authorized:
        keys = AUTHORIZED_KEYS
        yield StringCommand(
            f'umask 077; mkdir -p "$(dirname {keys})" &&',
            # An editor may have left the last line without its end.
            f'{{ test -z "$(tail -c 1 {keys} 2>/dev/null)" || echo >>{keys}; }} && echo',
            QuoteString(cephadm.public_key(plan.credentials)), f">>{keys}",
        )  # fmt: skip
    if not missing and found.authorized:
        host.noop("packages and key are there")


@operation()
def started(plan: Plan) -> Generator[StringCommand]:
    """Start a host's daemons if they are stopped, as a teardown leaves them.

    + plan: the run's plan

    Tasks call it on every Ceph host before the cluster is asked: it takes the monitors of most.
    """
    found = _state(plan)
    if found.installed and not found.running:
        # It wants all units of the host's daemons, which stay enabled.
        yield StringCommand(f"systemctl start ceph-{ceph.cluster_id(plan.credentials)}.target")
    else:
        host.noop("its daemons run" if found.running else "it has no daemon yet")


@operation()
def bootstrapped(plan: Plan) -> Generator[StringCommand]:
    """Bootstrap the cluster on its first host; start over where a killed run left half of it; wait
    for one whose daemons have just been started.

    + plan: the run's plan
    """
    found = _state(plan)
    fsid = ceph.cluster_id(plan.credentials)
    if not found.made:
        if found.begun:
            yield StringCommand(
                f"! {_has_osds(fsid)} || {{",
                fail(
                    f"ceph: {host.name} has OSDs of this cluster, which began on another host; put "
                    f"that one first in group `ceph` (if it is {host.name}, its note is lost: "
                    f"write {fsid} to {CEPH_NOTE})"
                ), "; }",
            )  # fmt: skip
            # The bootstrap never ended, so there is no OSD, and nothing is lost.
            yield StringCommand(_remove_cluster(plan, fsid), ">/dev/null")
        command = cephadm.bootstrap(plan.settings, fsid, plan.topology.addresses[host.name])
        yield StringCommand(
            _silent_unless_failed(quoted(*command)),
            f"; mkdir -p {VAR} && echo {fsid} >{CEPH_NOTE}",
        )
        return
    shell = _shell(plan)
    if ask(Ceph, shell=shell) is None:
        # The orchestrator: the manager loads it some time after the monitors agree.
        listed = quoted("timeout", "60", *shell, *CEPH, "orch", "host", "ls")
        timeout = plan.settings.health_timeout
        yield _until(
            StringCommand(listed, ">/dev/null 2>&1"),
            plan,
            f"Ceph's orchestrator does not answer (health_timeout: {timeout} s); do most of its "
            "monitors run?",
        )
    else:
        host.noop(f"cluster {fsid} is there")


def _silent_unless_failed(command: StringCommand) -> StringCommand:
    """Return a command without its output, of which the end is shown if it fails: cephadm reports
    each step, and gives the reason of a failure last, on standard error."""
    return StringCommand(
        "said=$(", command, '2>&1 ) || { printf "%s\\n" "$said" | tail -n 15 >&2; exit 1; }'
    )


@operation()
def osd_memory_limited(plan: Plan) -> Generator[StringCommand]:
    """Limit the memory of the cluster's OSDs.

    + plan: the run's plan
    """
    shell = _shell(plan)
    state = ask(Ceph, shell=shell) if _state(plan).made else None
    commands = cephadm.memory_commands(plan.settings, state.osd_memory if state else ())
    for words in commands:
        yield _silent_unless_failed(quoted(*shell, *CEPH, *words))
    if not commands:
        host.noop(f"an OSD has {cephadm.osd_memory_mb(plan.settings)} MB")


@operation()
def applied(plan: Plan) -> Generator[StringCommand]:
    """Declare the cluster's hosts and services to cephadm.

    + plan: the run's plan

    Tasks call it on every Ceph host: once all are prepared, the first one declares them.
    """
    if host.name != ceph.admin_host(plan.topology):
        host.noop("declared on the first host")
        return
    left_out = [name for name in plan.topology.hosts["ceph"] if name not in plan.machines]
    if left_out:
        logger.warning(
            f"{', '.join(left_out)} takes no part, so Ceph keeps its specifications, also if they "
            "have changed"
        )
        host.noop("nothing is declared without all of its hosts")
        return
    wanted = cephadm.specifications(plan.settings, plan.topology, plan.credentials, plan.machines)
    shell = _shell(plan)
    state = ask(Ceph, shell=shell) if _state(plan).made else None
    if state and (words := cephadm.upgrade_command(plan.settings.ceph_image, state.version)):
        logger.warning(
            f"ceph_image: {plan.settings.ceph_image}, and the cluster runs Ceph {state.version}; "
            f"no run upgrades it, so do it yourself on {host.name}: {shlex.join(words)}"
        )
    for name in cephadm.former_hosts(wanted, state.declared if state else ()):
        logger.warning(
            f"ceph: {name} is in Ceph's cluster and not in group `ceph`; no run takes it out, so "
            f"do it yourself on {host.name}, in `cephadm shell`: ceph orch host drain {name}, and "
            f"when `ceph orch ps {name}` shows no daemon, ceph orch host rm {name}; if it is lost, "
            f"only: ceph orch host rm {name} --offline --force; see "
            "docs/ceph.md#a-host-that-leaves"
        )
    changed = cephadm.names_to_apply(wanted, state.declared if state else ())
    # They read their certificate when they start, and cephadm restarts none for it.
    gateways_run = state and state.daemons.get("rgw")
    if changed:
        if gateways_run and cephadm.GATEWAYS in changed:
            # A killed run may have applied it without a restart.
            yield StringCommand(f"mkdir -p {VAR} && touch {GATEWAYS_NOTE}")
        apply = quoted(*shell, *CEPH, "orch", "apply", "-i", "-")
        yield StringCommand(_silent_unless_failed(apply), _stdin=cephadm.render(wanted))
    if gateways_run and (cephadm.GATEWAYS in changed or _state(plan).gateways_to_restart):
        restart = quoted(*shell, *CEPH, "orch", "restart", cephadm.GATEWAYS)
        yield StringCommand(_silent_unless_failed(restart), f"; rm -f {GATEWAYS_NOTE}")
    elif not changed:
        host.noop("hosts and services are as they have to be")


@operation()
def serving(plan: Plan) -> Generator[StringCommand]:
    """Wait until the gateway answers, which needs OSDs.

    + plan: the run's plan
    """
    if host.name != ceph.admin_host(plan.topology):
        host.noop("waited for on the first host")
        return
    shell = _shell(plan)
    state = ask(Ceph, shell=shell) if _state(plan).made else None
    if state and state.daemons.get("rgw") and state.daemons.get("osd"):
        host.noop(f"{state.health}: {', '.join(f'{n} {k}' for k, n in state.daemons.items())}")
        return
    yield wait_for_gateway(plan)


def wait_for_gateway(plan: Plan) -> StringCommand:
    """Return the command that waits on the current host until its gateway answers."""
    address = f"{plan.topology.addresses[host.name]}/{gateway_port(plan.settings)}"
    return _until(
        # The gateway listens once it has read its pools.
        StringCommand("timeout 5 bash -c", QuoteString(f"</dev/tcp/{address}"), "2>/dev/null"),
        plan,
        f"Ceph's gateway does not answer (health_timeout: {plan.settings.health_timeout} s); has "
        "it OSDs?",
    )


def _until(test: StringCommand, plan: Plan, message: str) -> StringCommand:
    """Return the command that repeats a test on the current host until it succeeds; after
    ``health_timeout`` it fails, with the cluster's status and a message."""
    shell = _shell(plan)
    return StringCommand(
        f"end=$(($(date +%s) + {plan.settings.health_timeout})); until", test, "; do",
        'if test "$(date +%s)" -ge "$end"; then',
        quoted(*shell, *CEPH, "status"), "2>/dev/null | head -n 12 >&2;",
        fail(message), "; fi; sleep 2; done",
    )  # fmt: skip


def await_clean(state: State, host: Host, plan: Plan) -> bool:
    """Wait until the cluster can do without any one of its hosts: all monitors agree, all OSDs are
    up, and every object has all its copies."""
    admin = ceph.admin_host(plan.topology)
    if admin is None or admin not in plan.machines:
        return complain(host, f"Ceph is asked on {admin}, which takes no part in this run")
    asked, timeout = inventory.get_host(admin), plan.settings.health_timeout
    missing = wait(lambda: _missing(asked, plan), timeout, until=lambda found: found == "", pause=2)
    return missing == "" or complain(
        host,
        f"Ceph can't do without {host.name}: for {timeout} s, {missing}; see on {admin}: "
        "cephadm shell -- ceph status",
    )


def _missing(asked: Host, plan: Plan) -> str:
    """Return what a cluster lacks; empty: nothing."""
    shell = ceph.shell(plan.settings, plan.topology, plan.credentials, engine_of(asked))
    words = quoted(*shell, *CEPH, "--format=json", "status")
    done, output = asked.run_shell_command(
        StringCommand(words, "2>/dev/null"), **inventory_arguments(asked)
    )
    line = json_line(output.stdout_lines)
    if not done or line is None:
        return "it does not answer"
    return ", ".join(cephadm.status_problems(json.loads(line)))


@operation()
def stopped(plan: Plan) -> Generator[StringCommand]:
    """Stop a host's daemons; their data stays.

    + plan: the run's plan
    """
    if _state(plan).running:
        fsid = ceph.cluster_id(plan.credentials)
        # The units too: the target doesn't stop a unit that is just restarting.
        yield StringCommand(f"systemctl stop ceph-{fsid}.target 'ceph-{fsid}@*'")
    else:
        host.noop("no daemon of the cluster runs")


@operation()
def removed(plan: Plan) -> Generator[StringCommand]:
    """Remove a host's daemons, its OSDs with all their data, and the manager's key. It is final.

    + plan: the run's plan
    """
    found = _state(plan)
    fsid = ceph.cluster_id(plan.credentials)
    if found.authorized:
        keys = AUTHORIZED_KEYS
        yield StringCommand(
            "umask 077; { LC_ALL=C grep --text --invert-match --fixed-strings --line-regexp",
            QuoteString(cephadm.public_key(plan.credentials)), f"{keys} >{keys}.new ||",
            # 1: no other key is left.
            f"test $? = 1; }} && mv {keys}.new {keys}",
        )  # fmt: skip
    if found.begun:
        # Zapping lists all disks, which needs a working LVM; a host without an OSD is spared that.
        zap = f"$(! {_has_osds(fsid)} || echo --zap-osds)"
        yield StringCommand(_remove_cluster(plan, fsid), f"{zap} >/dev/null && rm -f {CEPH_NOTE}")
    elif not found.authorized:
        host.noop("nothing of the cluster is there")


def _has_osds(fsid: str) -> str:
    """Return a shell test: whether this host has OSDs of the cluster."""
    return f"ls -d /var/lib/ceph/{fsid}/osd.* >/dev/null 2>&1"


def _remove_cluster(plan: Plan, fsid: str) -> StringCommand:
    # cephadm's own default image may be out of reach here.
    image = plan.settings.ceph_image
    return quoted("cephadm", "--image", image, "rm-cluster", "--force", "--fsid", fsid)


def _shell(plan: Plan) -> tuple[str, ...]:
    """Return the words before a command of Ceph on the current host."""
    return ceph.shell(plan.settings, plan.topology, plan.credentials, host_engine())


def _state(plan: Plan) -> CephadmState:
    state: CephadmState = ask(
        Cephadm,
        fsid=ceph.cluster_id(plan.credentials),
        key=cephadm.public_key(plan.credentials),
        notes=(CEPH_NOTE, GATEWAYS_NOTE),
    )
    return state

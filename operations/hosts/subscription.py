"""RHEL's subscription, managed by subscription-manager."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from facts.subscription import CLIENT, AttachedPools, Registration, Repositories
from operations.hosts.files import write
from operations.runtime.commands import ask_at_terminal, fail, one_at_a_time, quoted, refusals
from operations.runtime.phases import postpone
from quaylab.hosts import subscription
from quaylab.hosts.subscription import Pools
from quaylab.model import ManagedFile
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.settings.loading import Settings

# Hosts are planned at once; the first unregistered one asks for the secret of all.
_lock = threading.Lock()
_secret: str | None = None


def found(plan: Plan) -> subscription.Registration | str:
    """Return the registration of a host, or why its subscription is left alone.

    + plan: the run's plan
    """
    machine = plan.machines[host.name]
    if machine.os_id != "rhel":
        return f"no subscription: {host.name} is not a RHEL host but {machine.os_id}"
    if not subscription.is_wanted(plan.settings):
        return f"the subscription of {host.name} stays as it is: rhsm_organization isn't set"
    report = host.get_fact(Registration)
    return report if report.installed else f"no subscription: {host.name} has no {CLIENT}"


def check(settings: Settings, found: subscription.Registration) -> None:
    """Raise ``DeployError`` before anything is changed if the settings can't be met.

    + settings: the run's settings
    + found: the host's registration
    """
    ca_is_due = _due_ca(settings, found) is not None
    problems = list(subscription.host_problems(host.name, found, settings, ca_is_due))
    if found.identity and not problems:
        wants_pool = settings.rhsm_pool or settings.rhsm_pool_matches
        pools = _pools(settings) if wants_pool else None
        if pools and subscription.needs_pool(settings, pools):
            # The pool that will be attached may bring the repositories.
            problems += subscription.pool_problems(host.name, settings, pools)
        elif settings.rhsm_repositories:
            known = host.get_fact(Repositories)
            problems += subscription.repository_problems(
                host.name, settings.rhsm_repositories, known
            )
    with refusals():
        refuse(problems)


def secret(settings: Settings, found: subscription.Registration) -> str:
    """Return the secret to register this host with; empty if it is registered.

    + settings: the run's settings
    + found: the host's registration

    Raises ``DeployError`` if the secret is missing.
    """
    global _secret
    if found.identity or found.trouble:
        return ""
    with _lock, refusals():
        if _secret is None:
            _secret = subscription.secret(settings, os.environ, ask_at_terminal())
    return _secret


@operation()
def skipped(reason: str) -> Generator[StringCommand]:
    """Do nothing, and say why.

    + reason: why nothing is done
    """
    host.noop(reason)
    yield from ()


@operation()
def registered(settings: Settings, secret: str) -> Generator[StringCommand]:
    """Register the host, and configure the server in its client.

    + settings: the run's settings
    + secret: the password or activation key; empty for a host that is registered
    """
    report = host.get_fact(Registration)
    changes = subscription.differing(settings, report)
    if report.identity and changes:
        yield _configure(changes)
    elif report.identity:
        host.noop(f"registered as {report.identity}")
    elif report.trouble:
        if not postpone("known once the CA of its server is installed"):
            yield fail(subscription.trouble(host.name, report))
    elif not secret:
        yield fail(
            f"rhsm_organization: {host.name} turned out not to be registered; run this again"
        )
    else:
        # The registration of a killed run goes on for a while; a second one beside it would create
        # another consumer. The server has to be configured before, because the client itself writes
        # it only after a successful registration. It also fails over the rest of a lost identity.
        yield StringCommand(
            one_at_a_time(
                StringCommand(
                    "cd / && export LC_ALL=C && exec 3<&0 </dev/null;",
                    f"{CLIENT} identity >/dev/null 2>&1 && {CLIENT} release >/dev/null 2>&1 &&",
                    "exit 0;", _call("rhsm_organization", "clean"), ";",
                    *((_configure(changes), ";") if changes else ()), _register(settings),
                )
            ),
            _stdin=f"{secret}\n",
        )  # fmt: skip


@operation()
def pool_attached(settings: Settings) -> Generator[StringCommand]:
    """Attach a pool, where pools exist.

    + settings: the run's settings, for rhsm_pool or rhsm_pool_matches
    """
    key = "rhsm_pool_matches" if settings.rhsm_pool_matches else "rhsm_pool"
    pools = _pools(settings)
    if pools.simple_content_access:
        host.noop("Simple Content Access: there is no pool to attach")
    elif not subscription.needs_pool(settings, pools):
        host.noop(f"attached: {', '.join(pools.attached)}")
    elif pool := settings.rhsm_pool or next(iter(pools.available), None):
        # A killed run may have attached it without fetching the certificate; this call fetches it.
        yield _call(key, "attach", f"--pool={pool}", unless="already had the subscription")
    else:
        yield fail(next(subscription.pool_problems(host.name, settings, pools)))


@operation()
def release_locked(release: str | None) -> Generator[StringCommand]:
    """Lock the host to a release.

    + release: the release; None for no lock
    """
    if host.get_fact(Registration).release == release:
        host.noop(f"locked to {release}" if release else "not locked to a release")
    elif release:
        yield _call("rhsm_release", "release", f"--set={release}")
    else:
        yield _call("rhsm_release", "release", "--unset")


@operation()
def repositories_enabled(ids: list[str]) -> Generator[StringCommand]:
    """Enable exactly these repositories.

    + ids: the repositories' ids
    """
    known = host.get_fact(Repositories)
    problem = next(subscription.repository_problems(host.name, ids, known), None)
    if problem:
        yield fail(problem)
    elif {name for name, enabled in known.items() if enabled} == set(ids):
        host.noop(f"enabled: {', '.join(sorted(ids)) or 'none'}")
    else:
        # For each repository the last option counts.
        enabled = (f"--enable={name}" for name in sorted(ids))
        yield _call("rhsm_repositories", "repos", "--disable=*", *enabled)


@operation()
def unregistered(plan: Plan) -> Generator[StringCommand]:
    """Unregister a RHEL host.

    + plan: the run's plan
    """
    report = found(plan)
    if isinstance(report, str):
        host.noop(report)
        return
    ca = _due_ca(plan.settings, report)
    if ca:
        yield write(ca)
    if report.void:
        yield _call("rhsm_unregister", "clean")
    elif report.identity or ca:
        yield _call("rhsm_unregister", "unregister")
    elif report.trouble:
        yield fail(subscription.trouble(host.name, report))
    else:
        host.noop("not registered")


def _due_ca(settings: Settings, found: subscription.Registration) -> ManagedFile | None:
    """Return the CA that a registered host needs to reach its server, if it isn't there."""
    if not subscription.waits_for_ca(settings, found):
        return None
    ca = subscription.certificate(settings)
    found_ca = host.get_fact(Files, paths=[subscription.CA_PATH]).get(subscription.CA_PATH)
    return ca if ca and (found_ca is None or found_ca.differs(ca)) else None


def _pools(settings: Settings) -> Pools:
    return host.get_fact(AttachedPools, matches=settings.rhsm_pool_matches or "*")


def _configure(values: Mapping[str, str]) -> StringCommand:
    """Return a command that writes rhsm.conf.

    + values: the values by keys such as ``server.hostname``
    """
    return _call("rhsm_server", "config", *(f"--{key}={value}" for key, value in values.items()))


def _register(settings: Settings) -> StringCommand:
    """Return a command that registers the host, with the secret from file descriptor 3.

    + settings: the run's settings
    """
    *words, last = subscription.register(settings)
    key = "rhsm_user" if settings.rhsm_user else "rhsm_organization"
    # In /usr/bin RHEL may have consolehelper under the client's name.
    return StringCommand(
        f'client=$(PATH="/usr/sbin:$PATH" command -v {CLIENT});',
        "python=$(sed -n '1s/^#! *//p' \"$client\"); IFS= read -r secret <&3;",
        "said=$(printf '%s\\n' \"$secret\" | $python -c",
        QuoteString(subscription.CALL_WITH_SECRET), '"$client"', quoted(*words, last),
        "2>&1); code=$?;",
        # Satellite names the activation key that it doesn't know.
        'rest=$said; said=; while test "$rest" != "${rest#*"$secret"}"; do',
        'said=$said${rest%%"$secret"*}***; rest=${rest#*"$secret"}; done; said=$said$rest;',
        # The host may be registered all the same: exit code 1 means that the key's pools don't
        # cover the host, 70 that the server failed afterwards.
        f"test $code = 0 || {CLIENT} identity >/dev/null 2>&1 ||", _report_error(key),
    )  # fmt: skip


def _call(key: str, *words: str, unless: str | None = None) -> StringCommand:
    """Return a command that calls the client. Its error message begins with a setting's name.

    + key: the setting that is at fault, unless it is the connection
    + words: the arguments of the client
    + unless: part of an error message that counts as success
    """
    allowed = f'case "$said" in *"{unless}"*) exit 0;; esac;' if unless else ""
    return StringCommand(
        f"said=$(LC_ALL=C {CLIENT}", quoted(*words), "2>&1); code=$?; test $code = 0 ||",
        "{", allowed, _report_error(key), "; }",
    )  # fmt: skip


def _report_error(key: str) -> str:
    """Return shell code that prints the client's output in one line, and fails.

    + key: the setting that is at fault, unless it is the connection
    """
    cases = ""
    for setting, texts in subscription.COMPLAINTS.items():
        patterns = "|".join(f'*"{text}"*' for text in texts)
        cases += f"{patterns}) about={setting};; "
    return (
        f'{{ about={key}; case "$said" in {cases}esac; '
        "said=$(printf '%s\\n' \"$said\" | grep -v '^Registering to:\\|^Unregistering from:' | "
        "paste -s -d ' '); "
        'printf \'%s: %s\\n\' "$about" "${said:-it ended with exit code $code}" >&2; exit 1; }'
    )

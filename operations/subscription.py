"""RHEL's subscription, by subscription-manager."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.exceptions import DeployError

from facts.subscription import CLIENT, AttachedPools, Registration, Repositories
from operations.commands import ask_at_terminal, fail, quoted
from quaylab import subscription
from quaylab.plan import Plan
from quaylab.problems import Refusal, refuse
from quaylab.settings import Settings

# Hosts are planned at once; the first that isn't registered asks for all of them.
_lock = threading.Lock()
_secret: str | None = None


def found(plan: Plan) -> subscription.Registration | str:
    """What a host's client says, or why its subscription is none of ours.

    + plan: the run's plan
    """
    machine = plan.machines[host.name]
    if machine.os_id != "rhel":
        return f"no subscription: {host.name} is no RHEL host but {machine.os_id}"
    if not subscription.is_wanted(plan.settings):
        return f"the subscription of {host.name} stays as it is: rhsm_organization isn't set"
    told = host.get_fact(Registration)
    return told if told.installed else f"no subscription: {host.name} has no {CLIENT}"


def secret(settings: Settings, found: subscription.Registration) -> str:
    """What to register this host with; empty if it is registered.

    + settings: the run's settings
    + found: what the host's client says

    Raises ``DeployError`` before anything is changed if the host can't be brought to what they say.
    """
    global _secret
    try:
        refuse(subscription.host_problems(host.name, found, settings))
        if found.identity:
            return ""
        with _lock:
            if _secret is None:
                _secret = subscription.secret(settings, os.environ, ask_at_terminal())
    except Refusal as refusal:
        raise DeployError(str(refusal)) from None
    return _secret


@operation()
def left_alone(reason: str) -> Generator[StringCommand]:
    """Say why nothing is done.

    + reason: why
    """
    host.noop(reason)
    yield from ()


@operation()
def registered(settings: Settings, secret: str) -> Generator[StringCommand]:
    """Have the host registered.

    + settings: the run's settings
    + secret: the password or activation key; empty for a host that is registered
    """
    told = host.get_fact(Registration)
    if told.identity:
        host.noop(f"registered as {told.identity}")
        return
    if told.deleted:
        yield _call("rhsm_organization", "clean")
    if settings.rhsm_ca:
        yield _call("rhsm_ca", "config", f"--rhsm.repo_ca_cert={subscription.CA_PATH}")
    *words, last = subscription.register(settings)
    # 70 follows a registration as well, if the server won't have the list of packages.
    yield StringCommand(
        "IFS= read -r secret; export LC_ALL=C;",
        f"said=$({CLIENT}", quoted(*words), f'{last}"$secret" 2>&1);', "code=$?;",
        f"if test $code = 70 && {CLIENT} identity >/dev/null 2>&1; then exit 0; fi;",
        "test $code = 0 ||", _complaint("rhsm_user" if settings.rhsm_user else "rhsm_organization"),
        _stdin=f"{secret}\n",
    )  # fmt: skip


@operation()
def pool_attached(settings: Settings) -> Generator[StringCommand]:
    """Have a pool attached, where pools exist.

    + settings: the run's settings, for rhsm_pool or rhsm_pool_matches
    """
    pattern = settings.rhsm_pool_matches
    key = "rhsm_pool_matches" if pattern else "rhsm_pool"
    pools = host.get_fact(AttachedPools, matches=pattern or "*")
    if pools.simple_content_access:
        host.noop("Simple Content Access: there is no pool to attach")
    elif pools.attached if pattern else settings.rhsm_pool in pools.attached:
        host.noop(f"attached: {', '.join(pools.attached)}")
    elif pool := settings.rhsm_pool or next(iter(pools.available), None):
        # A killed run may have attached it without taking the certificate, which this call does.
        yield _call(key, "attach", f"--pool={pool}", unless="already had the subscription")
    else:
        yield fail(f"{key}: no available pool of {host.name} matches {pattern}")


@operation()
def release_locked(release: str | None) -> Generator[StringCommand]:
    """Have the host stay on a release.

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
    """Have just these repositories enabled.

    + ids: their ids
    """
    key = "rhsm_repositories"
    known = host.get_fact(Repositories)
    if not known.keys() >= set(ids):
        # What the account has since got.
        yield _call(key, "refresh")
        known = host.get_fact(Repositories)
    if unknown := sorted(set(ids) - known.keys()):
        yield fail(
            f"{key}: {host.name} may not use {', '.join(unknown)}; none was enabled or disabled; "
            f"`{CLIENT} repos --list` shows there which it may"
        )
    elif {name for name, enabled in known.items() if enabled} == set(ids):
        host.noop(f"enabled: {', '.join(sorted(ids)) or 'none'}")
    else:
        # The last word holds for each of them.
        yield _call(key, "repos", "--disable=*", *(f"--enable={name}" for name in sorted(ids)))


@operation()
def unregistered(plan: Plan) -> Generator[StringCommand]:
    """Have a RHEL host not registered.

    + plan: the run's plan
    """
    told = found(plan)
    if isinstance(told, str):
        host.noop(told)
    elif told.identity or told.deleted:
        yield _call("rhsm_unregister", "clean" if told.deleted else "unregister")
    elif told.trouble:
        yield fail(f"rhsm_unregister: {told.trouble}")
    else:
        host.noop("not registered")


def _call(key: str, *words: str, unless: str | None = None) -> StringCommand:
    """A call of the client, whose complaint begins with the setting that it is about.

    + key: the setting
    + words: the call
    + unless: what it may complain about
    """
    allowed = f'case "$said" in *"{unless}"*) exit 0;; esac;' if unless else ""
    return StringCommand(
        f"said=$(LC_ALL=C {CLIENT}", quoted(*words), "2>&1) ||",
        "{", allowed, _complaint(key), "; }",
    )  # fmt: skip


def _complaint(key: str) -> str:
    """What the client said, in one line, and failure."""
    said = "$(printf '%s\\n' \"$said\" | grep -v '^Registering to:' | paste -s -d ' ')"
    return f"{{ printf '%s: %s\\n' {key} \"{said}\" >&2; exit 1; }}"

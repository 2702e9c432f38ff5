"""RHEL's subscription: what subscription-manager says, and what follows from it.

RHEL 7 has its version 1.24, RHEL 8 1.28 and RHEL 9 1.29; RHEL 10's 1.30 knows no pools any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from quaylab import certificates
from quaylab.problems import refuse
from quaylab.settings import Settings
from quaylab.settings.subscription import Subscription

# The client takes every .pem of this folder for a CA of its server.
CA_PATH = "/etc/rhsm/ca/quaylab.pem"
WITHOUT_POOLS = (1, 30)
SIMPLE_CONTENT_ACCESS = "Content Access Mode is set to Simple Content Access"
POOL = re.compile(r"^[0-9a-f]+$")


@dataclass(frozen=True)
class Answer:
    """What a call of the client said, on both streams, and its exit code."""

    lines: tuple[str, ...]
    code: int

    def value(self, label: str) -> str | None:
        """What stands behind a label, such as ``org ID``."""
        start = f"{label}:"
        found = (line.removeprefix(start) for line in self.lines if line.startswith(start))
        return next((value.strip() for value in found), None)

    @property
    def ids(self) -> tuple[str, ...]:
        """The pools of a `list --pool-only`."""
        return tuple(line for line in self.lines if POOL.match(line))

    @property
    def reason(self) -> str:
        """What it complains about."""
        return " ".join(self.lines) or f"exit code {self.code}"

    def says(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def answers(output: Iterable[str]) -> list[Answer]:
    """The calls in the output of facts/subscription.py, in their order."""
    found: list[Answer] = []
    lines: list[str] = []
    for line in output:
        if line.startswith("| "):
            lines.append(line.removeprefix("| "))
        elif line.startswith("rc="):
            found.append(Answer(tuple(filter(None, lines)), int(line.removeprefix("rc="))))
            lines = []
    return found


@dataclass(frozen=True)
class Registration:
    """Whether a host is registered, and the release that it is locked to.

    ``version`` is None where it isn't told, ``identity`` where it isn't registered. ``deleted`` is
    a registration that the server forgot, and ``trouble`` why the client doesn't know.
    """

    installed: bool = False
    version: tuple[int, int] | None = None
    identity: str | None = None
    organization: str | None = None
    release: str | None = None
    deleted: bool = False
    trouble: str | None = None

    @property
    def has_pools(self) -> bool:
        return self.version is not None and self.version < WITHOUT_POOLS


def registration(version: Answer, identity: Answer, release: Answer) -> Registration:
    """From three calls. `status` stays content with what the server has deleted, and `identity` may
    answer from its cache; `release` always asks the server."""
    numbers = re.match(r"(\d+)\.(\d+)", version.value("subscription-manager") or "")
    uuid = identity.value("system identity")
    # 1.24 ends with 70 and the server's own words, "Unit UUID has been deleted".
    deleted = any(
        answer.code in (69, 70) and answer.says("has been deleted")
        for answer in (identity, release)
    )
    trouble = None
    if not deleted:
        if not uuid and not identity.says("not yet registered"):
            trouble = identity.reason
        elif uuid and release.code and not release.says("not supported by the server"):
            trouble = release.reason
    return Registration(
        installed=True,
        version=(int(numbers[1]), int(numbers[2])) if numbers else None,
        identity=None if deleted else uuid,
        organization=None if deleted else identity.value("org ID"),
        release=release.value("Release"),
        deleted=deleted,
        trouble=trouble,
    )


@dataclass(frozen=True)
class Pools:
    """The ids of pools; with a pattern, of those that match it."""

    simple_content_access: bool = False
    attached: tuple[str, ...] = ()
    available: tuple[str, ...] = ()


def pools(status: Answer, attached: Answer, available: Answer) -> Pools:
    """From `status`, and `list` of each kind."""
    return Pools(status.says(SIMPLE_CONTENT_ACCESS), attached.ids, available.ids)


def repositories(told: Answer) -> dict[str, bool]:
    """Whether each repository is enabled, by its id; the client lists them in no order."""
    found: dict[str, bool] = {}
    name = ""
    for line in told.lines:
        label, _, value = line.partition(":")
        if label == "Repo ID":
            name = value.strip()
        elif label == "Enabled":
            found[name] = value.strip() == "1"
    return found


def is_wanted(settings: Settings) -> bool:
    """Whether the settings say anything of subscriptions."""
    return bool(settings.rhsm_organization or settings.rhsm_user)


def settings_problems(settings: Settings) -> Iterator[str]:
    """Settings that only go together, or never do."""
    if not is_wanted(settings):
        for key in Subscription.model_fields:
            if getattr(settings, key) not in (None, False):
                yield (
                    f"{key}: set without rhsm_organization and rhsm_user; set one of them, so that "
                    "RHEL hosts can be registered"
                )
    if settings.rhsm_pool and settings.rhsm_pool_matches:
        yield "rhsm_pool_matches: set together with rhsm_pool; one of them tells which pool"
    for key in ("rhsm_content", "rhsm_ca"):
        if getattr(settings, key) and not settings.rhsm_server:
            yield f"{key}: set without rhsm_server, to which it belongs"
    if settings.rhsm_ca and not certificates.is_certificate(settings.rhsm_ca):
        yield f"rhsm_ca: {settings.rhsm_ca} is no PEM certificate"


def host_problems(name: str, found: Registration, settings: Settings) -> Iterator[str]:
    """What a host's client can't do or tell, as the settings are."""
    if found.trouble:
        yield f"{name}: subscription-manager can't tell whether it is registered: {found.trouble}"
    key = "rhsm_pool" if settings.rhsm_pool else "rhsm_pool_matches"
    if getattr(settings, key) and not found.has_pools:
        version = ".".join(map(str, found.version)) if found.version else "of an unknown version"
        yield (
            f"{key}: {name} has subscription-manager {version}, which can't attach a pool (RHEL 10 "
            "has Simple Content Access only); unset it"
        )
    wanted = settings.rhsm_organization
    if wanted and found.organization not in (None, wanted):
        yield (
            f"rhsm_organization: {name} is registered with {found.organization}, not {wanted}; run "
            "there first: subscription-manager unregister"
        )


def secret(
    settings: Settings, environment: Mapping[str, str], ask: Callable[[str], str] | None
) -> str:
    """The password or activation key to register with, kept nowhere: who is registered needs none.

    Raises:
        Refusal: nobody gives it, or it is none.
    """
    what = f"password of {settings.rhsm_user}" if settings.rhsm_user else "activation key"
    variable = "QUAYLAB_RHSM_" + ("PASSWORD" if settings.rhsm_user else "ACTIVATION_KEY")
    given = environment.get(variable)
    if given is None and ask:
        given = ask(f"{what} for subscription-manager: ")
    if given is None:
        refuse(
            [
                f"{variable}: not set, and there is no terminal to ask for the {what}; hosts that "
                "aren't registered need it: set it in the environment"
            ]
        )
    if not given or given.splitlines() != [given]:
        refuse([f"{variable}: the {what} has to be one line, and not empty"])
    assert given
    return given


def register(settings: Settings) -> tuple[str, ...]:
    """The words of the call that registers, but for the secret, which comes last."""
    words = ["register"]
    if settings.rhsm_organization:
        words.append(f"--org={settings.rhsm_organization}")
    if settings.rhsm_server:
        words.append(f"--serverurl={settings.rhsm_server}")
    if settings.rhsm_content:
        words.append(f"--baseurl={settings.rhsm_content}")
    if settings.rhsm_user:
        return (*words, f"--username={settings.rhsm_user}", "--password=")
    return (*words, "--activationkey=")

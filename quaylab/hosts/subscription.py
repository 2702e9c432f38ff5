"""RHEL's subscription: what subscription-manager says, and what follows from it.

RHEL 7 has its version 1.24, RHEL 8 1.28 and RHEL 9 1.29; RHEL 10's 1.30 knows no pools any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from quaylab.model import ManagedFile
from quaylab.problems import refuse
from quaylab.secrets import certificates
from quaylab.settings.loading import Settings
from quaylab.settings.subscription import Subscription

# The client takes every .pem of this folder for a CA of its server.
CA_PATH = "/etc/rhsm/ca/quaylab.pem"
# Where it keeps its certificate and key.
CONSUMER = "/etc/pki/consumer"
WITHOUT_POOLS = (1, 30)
SIMPLE_CONTENT_ACCESS = "Content Access Mode is set to Simple Content Access"
POOL = re.compile(r"^[0-9a-f]+$")
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Candlepin's 410 and 404, and Satellite's own 404: the server has no such consumer.
FORGOTTEN = re.compile(f"{UUID}.*(has been deleted|could not be found)|find consumer '{UUID}'")
# A certificate or key that isn't whole, or two that don't belong together.
DAMAGED = re.compile(r"is corrupted|server's identity: \[(SSL\] PEM lib|X509: KEY_VALUES_MISMATCH)")
# The setting that a complaint of the client is about, by texts in it. A CA that is missing makes a
# registration by key complain of a certificate that isn't there yet, and most other commands of
# corrupted ones.
COMPLAINTS = {
    "rhsm_ca": (
        *("CERTIFICATE_VERIFY_FAILED", "CA certificate", "Error loading certificate"),
        "System certificates corrupted",
    ),
    "rhsm_server": (
        *("Unable to reach the server", "Connection error", "Network error", "Proxy error"),
        *("Remote server error", "ALERT_UNKNOWN_CA"),
    ),
}
# Calls a Python program, named by the first word, with a line of standard input added to the last:
# who sees the command line, as `ps` and the journal do, doesn't see the secret.
CALL_WITH_SECRET = (
    "import runpy, sys; sys.argv = sys.argv[1:]; "
    "sys.argv[-1] += sys.stdin.readline().rstrip(chr(10)); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


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

    ``version`` is None where it isn't told, ``identity`` where it isn't registered. ``void`` is a
    registration that can't be used any more, as the server forgot it or the host lost some of it,
    and ``trouble`` why the client doesn't know. ``configuration`` is rhsm.conf, with keys such as
    ``server.hostname``.
    """

    installed: bool = False
    version: tuple[int, int] | None = None
    identity: str | None = None
    organization: str | None = None
    release: str | None = None
    void: bool = False
    trouble: str | None = None
    configuration: Mapping[str, str] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """The server that the client is told to ask."""
        keys = ("server.hostname", "server.port", "server.prefix")
        host, port, prefix = (self.configuration.get(key, "") for key in keys)
        return f"https://{host}:{port}{prefix}"

    @property
    def has_pools(self) -> bool:
        return self.version is not None and self.version < WITHOUT_POOLS


def registration(
    version: Answer, identity: Answer, release: Answer, config: Answer, files: Answer
) -> Registration:
    """From four calls, and from the files of the identity. `status` stays content with what the
    server has deleted, and `identity` may answer from its cache; `release` always asks the server.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version.value("subscription-manager") or "")
    uuid = identity.value("system identity")
    is_new = identity.says("not yet registered")
    void = (is_new and bool({"cert.pem", "key.pem"} & set(files.lines))) or any(
        answer.code and (FORGOTTEN.search(answer.reason) or DAMAGED.search(answer.reason))
        for answer in (identity, release)
    )
    trouble = None
    if not void:
        if not uuid and not is_new:
            trouble = identity.reason
        elif uuid and release.code and not release.says("not supported by the server"):
            trouble = release.reason
    return Registration(
        installed=True,
        version=(int(numbers[1]), int(numbers[2])) if numbers else None,
        identity=None if void else uuid,
        organization=None if void else identity.value("org ID"),
        release=release.value("Release"),
        void=void,
        trouble=trouble,
        configuration=_configuration(config),
    )


def _configuration(listed: Answer) -> dict[str, str]:
    """From `config`, which puts a default in brackets."""
    found = {}
    section = ""
    for line in listed.lines:
        key, is_value, value = (part.strip() for part in line.partition("="))
        if is_value:
            found[f"{section}.{key}"] = value.removeprefix("[").removesuffix("]")
        else:
            section = key.strip("[]")
    return found


def blamed_setting(complaint: str) -> str | None:
    """The setting that a complaint of the client is about; None if another than those of the
    connection."""
    settings = (
        key for key, texts in COMPLAINTS.items() if any(text in complaint for text in texts)
    )
    return next(settings, None)


@dataclass(frozen=True)
class Pools:
    """The ids of pools; with a pattern, of those that match it."""

    simple_content_access: bool = False
    attached: tuple[str, ...] = ()
    available: tuple[str, ...] = ()


def pools(status: Answer, attached: Answer, available: Answer) -> Pools:
    """From `status`, and `list` of each kind."""
    return Pools(status.says(SIMPLE_CONTENT_ACCESS), attached.ids, available.ids)


def lacks_pool(settings: Settings, found: Pools) -> bool:
    """Whether the settings' pool, or one of those that match, is still to be attached."""
    if found.simple_content_access:
        return False
    return (
        not found.attached
        if settings.rhsm_pool_matches
        else settings.rhsm_pool not in found.attached
    )


def repositories(answer: Answer) -> dict[str, bool]:
    """Whether each repository is enabled, by its id; the client lists them in no order."""
    found: dict[str, bool] = {}
    name = ""
    for line in answer.lines:
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
    if settings.rhsm_ca:
        try:
            certificates.read(settings.rhsm_ca)
        except ValueError as error:
            yield f"rhsm_ca: {settings.rhsm_ca} {error}"


def certificate(settings: Settings) -> ManagedFile | None:
    """The CA of the settings' server, if they have one."""
    return ManagedFile(CA_PATH, settings.rhsm_ca.read_text()) if settings.rhsm_ca else None


def configuration(settings: Settings) -> dict[str, str]:
    """What rhsm.conf has to say of the settings' server; nothing if they name none."""
    if not settings.rhsm_server:
        return {}
    url = urlsplit(settings.rhsm_server)
    wanted = {
        "server.hostname": url.hostname,
        "server.port": str(url.port or 443),
        "server.prefix": url.path or "/subscription",
        "rhsm.baseurl": settings.rhsm_content,
        "rhsm.repo_ca_cert": CA_PATH if settings.rhsm_ca else None,
    }
    return {key: value for key, value in wanted.items() if value}


def differing(settings: Settings, found: Registration) -> dict[str, str]:
    """What of that rhsm.conf doesn't say yet."""
    configured = found.configuration
    return {
        key: value for key, value in configuration(settings).items() if configured.get(key) != value
    }


def is_elsewhere(settings: Settings, found: Registration) -> bool:
    """Whether its client is told to ask another server than the settings'."""
    return any(key.startswith("server.") for key in differing(settings, found))


def waits_for_ca(settings: Settings, found: Registration) -> bool:
    """Whether it is the settings' CA that a registered host may lack to ask its server."""
    lacks = blamed_setting(found.trouble or "") == "rhsm_ca"
    return lacks and bool(settings.rhsm_ca) and not is_elsewhere(settings, found)


def host_problems(
    name: str, found: Registration, settings: Settings, ca_is_due: bool = False
) -> Iterator[str]:
    """What a host's client can't do or tell, as the settings are; a CA that is still to come may
    help with the latter."""
    about = blamed_setting(found.trouble or "")
    if (found.identity or about) and is_elsewhere(settings, found):
        yield (
            f"rhsm_server: {name} is registered with {found.server}, not {settings.rhsm_server}; "
            "to move it, run there first: subscription-manager unregister (or clean, if that "
            "server is gone)"
        )
    elif found.trouble and not ca_is_due:
        yield trouble(name, found)
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


def trouble(name: str, found: Registration) -> str:
    """Why a host's client doesn't know whether it is registered, and what helps."""
    return (
        f"{blamed_setting(found.trouble or '') or 'rhsm_server'}: {name} can't tell whether it is "
        f"registered with {found.server}: {found.trouble}; mend that, or if that server is gone or "
        "doesn't know it any more, run there: subscription-manager clean"
    )


def lacking(name: str, wanted: Iterable[str], known: Mapping[str, bool]) -> Iterator[str]:
    """Repositories that a host may not use."""
    if unknown := sorted(set(wanted) - known.keys()):
        yield (
            f"rhsm_repositories: {name} may not use {', '.join(unknown)}; none was enabled or "
            "disabled; `subscription-manager repos --list` shows there which it may"
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
    if settings.rhsm_user:
        return (*words, f"--username={settings.rhsm_user}", "--password=")
    return (*words, "--activationkey=")

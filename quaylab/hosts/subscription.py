"""RHEL's subscription: the output of subscription-manager, and what follows from it.

RHEL 7 has version 1.24, RHEL 8 1.28 and RHEL 9 1.29; RHEL 10's 1.30 has no pools any more.
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

# The client trusts every .pem in this folder as a CA of its server.
CA_PATH = "/etc/rhsm/ca/quaylab.pem"
# Red Hat's content, and its CA.
CONTENT = "https://cdn.redhat.com"
CONTENT_CA = "/etc/rhsm/ca/redhat-uep.pem"
# The folder of its certificate and key.
CONSUMER = "/etc/pki/consumer"
WITHOUT_POOLS = (1, 30)
SIMPLE_CONTENT_ACCESS = "Content Access Mode is set to Simple Content Access"
POOL = re.compile(r"^[0-9a-f]+$")
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Candlepin's 410 and 404, and Satellite's own 404: the server has no such consumer.
FORGOTTEN = re.compile(f"{UUID}.*(has been deleted|could not be found)|find consumer '{UUID}'")
# A damaged certificate or key, or two that don't belong together.
DAMAGED = re.compile(r"is corrupted|server's identity: \[(SSL\] PEM lib|X509: KEY_VALUES_MISMATCH)")
# The client reports this for every TLS error if the host's clock is past its certificate's end.
EXPIRED = "Your identity certificate has expired"
# Texts in the client's error messages, by the setting that causes the error; the first match
# counts. If a CA is missing, a registration by key reports that a certificate is not there yet, and
# most other commands report corrupted certificates. No CA helps if the server's certificate is for
# another name.
COMPLAINTS = {
    "rhsm_server": (
        *("Unable to reach the server", "Connection error", "Network error", "Proxy error"),
        *("Remote server error", "ALERT_UNKNOWN_CA", "Hostname mismatch", "IP address mismatch"),
        *("HTTP error code 5", "rate limit has been exceeded"),
    ),
    "rhsm_ca": (
        *("CERTIFICATE_VERIFY_FAILED", "CA certificate", "Error loading certificate"),
        "System certificates corrupted",
    ),
    "rhsm_organization": ("--org is a required parameter", "Organization "),
}
# Runs the Python program of the first argument, with a line of standard input appended to the last
# argument: so the command line, which `ps` and the journal show, has no secret.
CALL_WITH_SECRET = (
    "import runpy, sys; sys.argv = sys.argv[1:]; "
    "sys.argv[-1] += sys.stdin.readline().rstrip(chr(10)); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


@dataclass(frozen=True)
class Answer:
    """A call of the client: the output of both streams, and the exit code."""

    lines: tuple[str, ...]
    code: int

    def value(self, label: str) -> str | None:
        """Return the value after a label such as ``org ID``; None without it."""
        start = f"{label}:"
        found = (line.removeprefix(start) for line in self.lines if line.startswith(start))
        return next((value.strip() for value in found), None)

    @property
    def ids(self) -> tuple[str, ...]:
        """The pools in the output of `list --pool-only`."""
        return tuple(line for line in self.lines if POOL.match(line))

    @property
    def reason(self) -> str:
        """The client's error message."""
        return " ".join(self.lines) or f"exit code {self.code}"

    def says(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def answers(output: Iterable[str]) -> list[Answer]:
    """Parse the output of facts/subscription.py into its calls, in their order."""
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
    """A host's registration, and the release that the host is locked to.

    ``version`` is None if it is unknown, ``identity`` if the host isn't registered. A registration
    is ``void`` if the server has deleted it or a part of it is lost on the host. ``trouble`` is the
    error of a client that can't tell whether it is. ``configuration`` is rhsm.conf, with keys such
    as ``server.hostname``.
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
        """The server that the client is configured for."""
        keys = ("server.hostname", "server.port", "server.prefix")
        host, port, prefix = (self.configuration.get(key, "") for key in keys)
        return f"https://{host}:{port}{prefix}"

    @property
    def has_pools(self) -> bool:
        return self.version is not None and self.version < WITHOUT_POOLS


def registration(
    version: Answer, identity: Answer, release: Answer, config: Answer, files: Answer
) -> Registration:
    """Return the registration from four calls and the list of the identity's files.

    `status` accepts a registration that the server has deleted, and `identity` may answer from its
    cache; `release` always asks the server.
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
    """Parse the output of `config`, which puts defaults in brackets."""
    found = {}
    section = ""
    for line in listed.lines:
        key, is_value, value = (part.strip() for part in line.partition("="))
        if is_value:
            found[f"{section}.{key}"] = value.removeprefix("[").removesuffix("]")
        else:
            section = key.strip("[]")
    return found


def blamed_setting(error: str) -> str | None:
    """Return the setting that causes a client's error; None: the error names none."""
    settings = (key for key, texts in COMPLAINTS.items() if any(text in error for text in texts))
    return next(settings, None)


@dataclass(frozen=True)
class Pools:
    """The ids of pools, with a pattern only of those that match it."""

    simple_content_access: bool = False
    attached: tuple[str, ...] = ()
    available: tuple[str, ...] = ()


def pools(status: Answer, attached: Answer, available: Answer) -> Pools:
    """Return the pools from the output of `status` and of two calls of `list`."""
    return Pools(status.says(SIMPLE_CONTENT_ACCESS), attached.ids, available.ids)


def needs_pool(settings: Settings, found: Pools) -> bool:
    """Whether the settings' pool, or one that matches, still has to be attached."""
    if found.simple_content_access:
        return False
    return (
        not found.attached
        if settings.rhsm_pool_matches
        else settings.rhsm_pool not in found.attached
    )


def pool_problems(name: str, settings: Settings, found: Pools) -> Iterator[str]:
    """Yield why rhsm_pool_matches finds no pool.

    A pool's id can't be checked: the client lists only the pools of the installed products.
    """
    if settings.rhsm_pool_matches and not found.available:
        yield (
            f"rhsm_pool_matches: no available pool of {name} matches {settings.rhsm_pool_matches}"
        )


def repositories(answer: Answer) -> dict[str, bool]:
    """Return by id whether each repository is enabled; the client's order is random."""
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
    """Whether the settings ask for subscriptions."""
    return bool(settings.rhsm_organization or settings.rhsm_user)


def settings_problems(settings: Settings) -> Iterator[str]:
    """Yield problems with combinations of settings."""
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
    """Return the CA of the settings' server, if they name one."""
    return ManagedFile(CA_PATH, settings.rhsm_ca.read_text()) if settings.rhsm_ca else None


def configuration(settings: Settings) -> dict[str, str]:
    """Return the keys of rhsm.conf for the settings' server; empty if they name none."""
    if not settings.rhsm_server:
        return {}
    url = urlsplit(settings.rhsm_server)
    content_ca = CONTENT_CA
    if settings.rhsm_content:
        content_ca = CA_PATH if settings.rhsm_ca else ""
    wanted = {
        "server.hostname": url.hostname,
        "server.port": str(url.port or 443),
        "server.prefix": url.path or "/subscription",
        "rhsm.baseurl": settings.rhsm_content or CONTENT,
        "rhsm.repo_ca_cert": content_ca,
    }
    return {key: value for key, value in wanted.items() if value}


def differing(settings: Settings, found: Registration) -> dict[str, str]:
    """Return those of them that differ in a host's rhsm.conf."""
    configured = found.configuration
    return {
        key: value for key, value in configuration(settings).items() if configured.get(key) != value
    }


def is_for_another_server(settings: Settings, found: Registration) -> bool:
    """Whether the client is configured for another server than the settings'."""
    return any(key.startswith("server.") for key in differing(settings, found))


def waits_for_ca(settings: Settings, found: Registration) -> bool:
    """Whether the client fails because the settings' CA may not be installed yet."""
    needs_ca = blamed_setting(found.trouble or "") == "rhsm_ca"
    return needs_ca and bool(settings.rhsm_ca) and not is_for_another_server(settings, found)


def host_problems(
    name: str, found: Registration, settings: Settings, ca_is_due: bool = False
) -> Iterator[str]:
    """Yield why a host can't be registered as the settings ask.

    Args:
        ca_is_due: the run will install a CA, which may solve the client's trouble.
    """
    blamed = blamed_setting(found.trouble or "")
    if (found.identity or blamed) and is_for_another_server(settings, found):
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
    """Say why a client can't tell whether its host is registered, and give a remedy."""
    if EXPIRED in (found.trouble or ""):
        return (
            f"{name}: its registration's certificate has expired, or its clock is wrong; set the "
            "clock, or run there subscription-manager clean, and then this again to register it"
        )
    return (
        f"{blamed_setting(found.trouble or '') or 'rhsm_server'}: {name} can't tell whether it is "
        f"registered with {found.server}: {found.trouble}; mend that, or if that server is gone or "
        "doesn't know it any more, run there: subscription-manager clean"
    )


def repository_problems(
    name: str, wanted: Iterable[str], known: Mapping[str, bool]
) -> Iterator[str]:
    """Yield the repositories that a host may not use."""
    if unknown := sorted(set(wanted) - known.keys()):
        yield (
            f"rhsm_repositories: {name} may not use {', '.join(unknown)}; none was enabled or "
            "disabled; `subscription-manager repos --list` shows there which it may"
        )


def secret(
    settings: Settings, environment: Mapping[str, str], ask: Callable[[str], str] | None
) -> str:
    """Return the password or activation key to register with. It is not stored: a registered host
    needs none.

    Raises:
        Refusal: it is not given, or invalid.
    """
    title = f"password of {settings.rhsm_user}" if settings.rhsm_user else "activation key"
    variable = "QUAYLAB_RHSM_" + ("PASSWORD" if settings.rhsm_user else "ACTIVATION_KEY")
    value = environment.get(variable)
    if value is None and ask:
        value = ask(f"{title} for subscription-manager: ")
    if value is None:
        refuse(
            [
                f"{variable}: not set, and there is no terminal to ask for the {title}; hosts that "
                "aren't registered need it: set it in the environment"
            ]
        )
    if not value or value.splitlines() != [value]:
        refuse([f"{variable}: the {title} has to be one line, and not empty"])
    assert value
    if settings.rhsm_user and value != value.strip():
        refuse(
            [
                f"{variable}: the {title} begins or ends with a blank, which subscription-manager "
                "removes; set a password without blanks at its ends"
            ]
        )
    return value


def register(settings: Settings) -> tuple[str, ...]:
    """Return the words of the call that registers; the secret is appended to the last one."""
    words = ["register"]
    if settings.rhsm_organization:
        words.append(f"--org={settings.rhsm_organization}")
    if settings.rhsm_server:
        words.append(f"--serverurl={settings.rhsm_server}")
    if settings.rhsm_user:
        return (*words, f"--username={settings.rhsm_user}", "--password=")
    return (*words, "--activationkey=")

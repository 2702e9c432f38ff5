"""Loading and validation of settings. Their defaults are in group_data/all.py."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quaylab.problems import refuse
from quaylab.services import ServiceSettings
from quaylab.settings.actions import Forgetting, FormerEngine, Restoring, Teardown
from quaylab.settings.disks import Disks
from quaylab.settings.general import Certificates, General
from quaylab.settings.hosts import Engine, Host
from quaylab.settings.hypervisor import Hypervisor
from quaylab.settings.images import Images
from quaylab.settings.openshift import OpenShift
from quaylab.settings.subscription import Subscription
from quaylab.settings.types import EXAMPLES, Section
from quaylab.settings.virtual_machine import VirtualMachine

# Data for pyinfra itself: its connectors' keys and, with "_", its global arguments.
PYINFRA_KEY = re.compile(
    r"^(_|ssh_(?!pub_key$)|fake_|dockerssh_|docker_(identifier|platform|architecture)$)"
)

# An error shows the value that was found, but not a whole file.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 10
# A byte that is not UTF-8, as Python reads it from a command line.
_NOT_UNICODE = re.compile("[\ud800-\udfff]")
# USER:PASSWORD in an address such as postgresql://USER:PASSWORD@HOST/NAME.
_LOGIN = re.compile(r"//[^/]*@")
# A private key, JSON, or another file of three lines or more.
_CONTENT = re.compile(r"PRIVATE KEY|^\s*\{|[\r\n].+[\r\n]", re.DOTALL)


# In the reverse order of docs/settings.md: pydantic lists the fields of the last base first.
class Settings(
    Teardown,
    FormerEngine,
    Forgetting,
    Restoring,
    Subscription,
    OpenShift,
    Hypervisor,
    Engine,
    Images,
    Certificates,
    ServiceSettings,
    General,
):
    """All run-wide settings; docs/settings.md is made from them."""


class HostSettings(VirtualMachine, Host, Disks):
    """The settings of a single host."""


@dataclass(frozen=True)
class HostInput:
    """A host of the inventory: its name, its groups, and all of its data."""

    name: str
    groups: tuple[str, ...]
    data: Mapping[str, Any]


def load(hosts: list[HostInput]) -> tuple[Settings, dict[str, HostSettings]]:
    """Return the run's settings, and each host's by its name, from the whole inventory.

    Raises:
        Refusal: unknown keys, wrong values, or hosts that differ in a run-wide key.
    """
    problems: list[str] = []
    host_settings: dict[str, HostSettings] = {}
    common: dict[str, Any] = {}
    first_host: dict[str, str] = {}
    for host in hosts:
        own: dict[str, Any] = {}
        for key, value in host.data.items():
            if PYINFRA_KEY.match(key):
                continue
            if _NOT_UNICODE.search(key):
                problems.append(
                    f"{key!a}: no such setting, and not UTF-8; group_data/all.py lists all settings"
                )
            elif key in HostSettings.model_fields:
                own[key] = value
            elif key not in common:
                common[key], first_host[key] = value, host.name
            elif common[key] != value:
                problems.append(
                    f"{key}: {first_host[key]} and {host.name} differ; it holds for the whole run: "
                    "set it once, in group_data/all.py"
                )
        try:
            host_settings[host.name] = HostSettings.model_validate(own)
        except ValidationError as error:
            problems.extend(f"{host.name}: {line}" for line in _explain(error, HostSettings))
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(common)
    except ValidationError as error:
        problems.extend(_explain(error, Settings))
    refuse(problems)
    assert settings is not None  # no problem was found
    return settings, host_settings


def _explain(error: ValidationError, model: type[Section]) -> Iterator[str]:
    """Yield a line per problem: the key, what is wrong with it, and what would be right."""
    for problem in error.errors():
        key, *inner = problem["loc"]
        field = model.model_fields.get(str(key))
        if field is None:
            known = [*Settings.model_fields, *HostSettings.model_fields]
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "group_data/all.py lists all settings"
            yield f"{key}: no such setting; {hint}"
        elif inner and problem["type"] in ("extra_forbidden", "missing"):
            wrong = "no such key" if problem["type"] == "extra_forbidden" else "not set"
            yield f"{_path(problem)}: {wrong} ({field.description})"
        elif problem["type"] == "missing":
            yield f"{key}: not set; group_data/all.py has its default ({field.description})"
        else:
            # A proxy's address may hold a password: such values are not repeated.
            found = f"{_short(problem['input'])}: " if field.repr else ""
            yield f"{_path(problem)}: {found}{_reason(problem)} ({field.description})"


def _short(value: object) -> str:
    """Shorten a value for an error, without a secret that was put there by mistake: the login of a
    URL, or the content of a file in place of its path."""
    # pyinfra's --data makes a mapping of JSON, such as a config.json.
    is_login = isinstance(value, Mapping) and "auths" in value
    if is_login or (isinstance(value, str) and _CONTENT.search(value)):
        return "what looks like a file's content"
    try:
        return _LOGIN.sub("//…@", _SHORT.repr(value))
    except ValueError:
        return "a number of thousands of digits"


def _path(problem: ErrorDetails) -> str:
    """Return the place of a problem, such as ``libvirt_bridges[0].dhcp_start``."""
    key, *inner = problem["loc"]
    return f"{key}" + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in inner)


def _reason(problem: ErrorDetails) -> str:
    """Say what is wrong, in an operator's words rather than pydantic's."""
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        example = EXAMPLES[context["pattern"]]
        return f"does not have the right form, which is for example {example}"
    if problem["type"] == "is_instance_of":
        return "it should be a file's path"
    if problem["type"] == "value_error":  # our own
        return str(problem["ctx"]["error"])
    message = problem["msg"]
    message = message[0].lower() + message[1:]
    return message.replace("input should", "it should").replace("string should", "it should")

"""Every text setting with texts that mean something to a shell, a unit, YAML, XML or a URL.

A text is refused with its setting's name, or passed on unchanged: then the parser of its target
reads it back. The settings come from the models, so a new one is tested as well, and fails here
until it has a form or a reader in CARRIED.
"""

from __future__ import annotations

import copy
import re
import shlex
import types
import typing
from collections.abc import Callable, Iterator
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from passlib.hash import sha512_crypt
from pydantic import BaseModel, TypeAdapter, ValidationError

from facts.subscription import AttachedPools
from operations.engines.docker import proxy_file
from operations.openshift import kubectl
from operations.runtime.commands import quoted
from quaylab import quoting
from quaylab.hosts import subscription
from quaylab.openshift.cluster import Access
from quaylab.problems import Refusal
from quaylab.services import quay_config
from quaylab.settings.loading import HostSettings, Settings, load
from quaylab.settings.types import EXAMPLES, LocalFile
from quaylab.virtual.cloud_init import user_data
from tests.unit import virtual
from tests.unit.samples import CREDENTIALS, DEFAULTS, HOST_DEFAULTS, host, one_host, settings

HOSTILE = {
    "line": "a\nExecStartPre=/bin/touch /pwned",
    "carriage return": "a\rb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "NUL": "a\0b",
    "escape": "\x1b[2J",
    "turned line": "a\u202eb",
    "half a character": "a\udcffb",
    "double quote": 'a"b',
    "single quote": "a'b",
    "substitution": "$(touch /pwned)",
    "backtick": "`touch /pwned`",
    "variable": "a$HOME",
    "semicolon": ";touch /pwned;",
    "ampersand": "a&&touch /pwned",
    "pipe": "a|b",
    "redirection": "a>/pwned",
    "backslash": "a\\nb",
    "specifier": "%n%i",
    "comment": "a #b",
    "flow": "]}, {a: b",
    "mapping": "a: b",
    "tag": "!!python/object",
    "XML": "<a b='c'>&d;]]>",
    "template": "{{ a }}",
    "option": "--privileged",
    "blank": " a b ",
    "tab": "a\tb",
    "letters": "äß漢字",
    "emoji": "😀",
    "long": "a" * 5000,
    "empty": "",
}
# A valid value of each setting that is not a single text, or has neither default nor example.
SAMPLES: dict[str, Any] = {
    "quay_config": {"REGISTRY_TITLE": "a"},
    "swift_options": {"tenant_name": "a"},
    "libvirt_bridges": [{**virtual.BRIDGE, "dns_forwarder": ["192.0.2.1"]}],
    "libvirt_pools": virtual.POOLS,
    "ceph_osd_devices": ["/dev/sdb"],
    "rhsm_repositories": ["rhel-9"],
    "docker_storage": {"devices": ["/dev/vdb"], "volume_group": "docker-vg"},
    "quay_storage": {"devices": ["/dev/vdb"], "volume_group": "quay-vg"},
    "resources": virtual.RESOURCES,
    "install_packages": ["vim"],
    "run_cmds": ["true"],
    "ssh_pub_key": "ssh-ed25519 AAAA me",
}
Place = tuple[str | int, ...]


def _texts(annotation: Any, value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Yield the places of texts in a setting of this type, each with its own type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is str or annotation == LocalFile or annotation is Path:
        yield place, annotation
    elif origin is typing.Annotated:
        inner = arguments[0]
        if inner in (str, Path):
            yield place, annotation
        else:
            yield from _texts(inner, value, place)
    elif origin in (typing.Union, types.UnionType):
        for each in arguments:
            yield from _texts(each, value, place)
    elif origin in (list, tuple):
        yield from _texts(arguments[0], value[0], (*place, 0))
    elif origin is dict:
        (key,) = list(value)[:1]
        item = str if arguments[1] is Any else arguments[1]
        yield from _texts(item, value[key], (*place, key))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if name in value:
                yield from _texts(_typed(field), value[name], (*place, name))


def _typed(field: Any) -> Any:
    """Return a field's type with its constraints, which pydantic stores separately."""
    inner = (field.annotation, *field.metadata)
    return typing.Annotated[inner] if field.metadata else field.annotation


def _places() -> Iterator[tuple[Place, Any]]:
    for model in (Settings, HostSettings):
        for key, field in model.model_fields.items():
            yield from _texts(_typed(field), SAMPLES.get(key), (key,))


def _good(place: Place, annotation: Any) -> str:
    """Return a valid text: the default, or the example that the error message shows."""
    value: Any = {**DEFAULTS, **HOST_DEFAULTS, **SAMPLES}[str(place[0])]
    if value is not None:
        for step in place[1:]:
            value = value[step]
        return str(value)
    adapter = TypeAdapter(annotation)
    for example in EXAMPLES.values():
        try:
            adapter.validate_python(example)
        except ValidationError:
            continue
        return example
    return __file__  # of a local file


def _with(place: Place, text: str) -> Any:
    """Return the setting's value with a text at a place."""
    if len(place) == 1:
        return text
    value = copy.deepcopy(SAMPLES[str(place[0])])
    inner = value
    for step in place[1:-1]:
        inner = inner[step]
    inner[place[-1]] = text
    return value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]


def _config(key: str) -> Callable[[Any, str], bool]:
    def carried(value: Any, text: str) -> bool:
        given = {key: value} if key == "quay_config" else SWIFT | {key: value}
        made = settings(**given)
        built = quay_config.build(made, one_host(**given), CREDENTIALS)
        read = yaml.safe_load(quay_config.render(built))
        return bool(read == built) and text in _leaves(read)

    return carried


SWIFT = {
    "storage": "swift",
    "storage_bucket": "quay",
    "swift_auth_url": "https://swift.example.com/v3",
}


def _first_boot(key: str) -> Callable[[Any, str], bool]:
    def carried(value: Any, text: str) -> bool:
        (machine,) = virtual.lab(**{key: value}).machines.values()
        read = yaml.safe_load(user_data(machine))
        (user,) = read["users"]
        if key == "cloud_user_passwd":
            return bool(sha512_crypt.verify(text, user["passwd"]))
        return text in (user.get("ssh_authorized_keys", []) + read.get("runcmd", []))

    return carried


def _login(value: Any, text: str) -> bool:
    words = subscription.register(settings(rhsm_user=value))
    return f"--username={text}" in shlex.split(quoted(*words).get_raw_value())


def _pattern(value: Any, text: str) -> bool:
    command = AttachedPools().command(matches=value)
    raw = command if isinstance(command, str) else command.get_raw_value()
    return any(text in word for word in shlex.split(raw))


def _no_proxy(value: Any, text: str) -> bool:
    file = proxy_file(settings(http_proxy="http://proxy.example.com", no_proxy=value))
    assert file
    lines = file.content.splitlines()
    return shlex.split(lines[-1].removeprefix("Environment=")) == [f"NO_PROXY={text}"]


def _context(value: Any, text: str) -> bool:
    call = kubectl.command(Access("/kubeconfig", value, "quay"), "get", "pods")
    return f"--context={text}" in shlex.split(call.get_raw_value())


# Settings whose texts may have special characters, and whether the text is read back.
CARRIED: dict[str, Callable[[Any, str], bool]] = {
    "quay_config": _config("quay_config"),
    "swift_options": _config("swift_options"),
    "cloud_user_passwd": _first_boot("cloud_user_passwd"),
    "ssh_pub_key": _first_boot("ssh_pub_key"),
    "run_cmds": _first_boot("run_cmds"),
    "no_proxy": _no_proxy,
    "rhsm_user": _login,
    "rhsm_pool_matches": _pattern,
    "openshift_context": _context,
}
# Texts without special characters, apart from those that quoting handles, and not an option.
PLAIN = re.compile(r"[A-Za-z0-9._~%+@=,:/?&*^\[\]][A-Za-z0-9._~%+@=,:/?&*^\[\]-]{0,3999}")
PLACES = dict(_places())


def test_the_texts_of_every_setting_are_found() -> None:
    keys = {place[0] for place in PLACES}
    assert len(PLACES) > 70
    assert {"no_proxy", "purge", "tls_key", "libvirt_bridges", "quay_config", "address"} <= keys


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_text_is_refused_with_its_setting_or_passed_on_unchanged(place: Place) -> None:
    key = str(place[0])
    good = _good(place, PLACES[place])
    load([host("quay.example.com", **{key: _with(place, good)})])
    for name, hostile in HOSTILE.items():
        for text in {hostile, good + hostile, hostile + good, good[:1] + hostile + good[1:]}:
            if text == good:
                continue
            value = _with(place, text)
            try:
                load([host("quay.example.com", **{key: value})])
            except Refusal as refusal:
                (problem,) = refusal.problems
                assert problem.removeprefix("quay.example.com: ").startswith(key), name
                assert len(problem) < 1200, name
            else:
                if key in CARRIED:
                    assert CARRIED[key](value, text), f"{name}: {text[:50]!r} is not carried"
                else:
                    assert PLAIN.fullmatch(text), f"{name}: {text[:50]!r} is taken"


@pytest.mark.parametrize("text", [text for text in HOSTILE.values() if not {*text} & {*"\n\0"}])
def test_a_quoted_word_in_a_unit_is_read_back(text: str) -> None:
    """systemd's double quotes are the shell's, except that $ and the backtick have no meaning."""
    (word,) = shlex.split(quoting.systemd(text))
    assert word.replace("%%", "%") == text


@pytest.mark.parametrize("text", ["a\nb", "a\0b"])
def test_a_word_in_a_unit_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        quoting.systemd(text)


class Level(str, Enum):
    """An enum that is a str as well."""

    DEBUG = "debug"


class Opaque:
    """An object of an unknown class."""


LOOP: dict[str, Any] = {"a": []}
LOOP["a"].append(LOOP)
DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"lower": 1}, "'lower' does not have the form of a key"),
        ({"A B": 1}, "'A B' does not have the form of a key"),
        ({"A\n": 1}, "'A\\n' does not have the form of a key"),
        ({1: 1}, "1 does not have the form of a key"),
        ({None: 1}, "None does not have the form of a key"),
        ({Level.DEBUG: 1}, "does not have the form of a key"),
        ({"A": float("nan")}, "A is nan, which is not a number"),
        ({"A": {"b": [float("-inf")]}}, "A.b[0] is -inf, which is not a number"),
        ({"A": b"x"}, "A is of the type bytes"),
        ({"A": [Path("/x")]}, "A[0] is of the type PosixPath"),
        ({"A": date(2026, 1, 1)}, "A is of the type date"),
        ({"A": Level.DEBUG}, "A is of the type Level"),
        ({"A": Opaque()}, "A is of the type Opaque"),
        ({"A": {1}}, "A is of the type set"),
        ({"A": {"b": {2: 1}}}, "A.b has the key 2, which is not text"),
        ({"A": LOOP}, "A.a[0] holds itself"),
        ({"A": DEEP}, f"A{'[0]' * 51} is in more than 50 lists and dicts"),
        ({"A": [10**5000]}, "A[0] is a number of more than 64 bits"),
        ({"A": -(2**63) - 1}, "A is a number of more than 64 bits"),
        ({"A": len}, "A is of the type builtin_function_or_method"),
    ],
)
def test_values_that_config_yaml_cannot_have(value: Any, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        load([host("quay.example.com", quay_config=value)])
    (problem,) = refused.value.problems
    assert problem.startswith("quay_config: ")
    assert message in problem


def test_all_problems_of_quay_config_are_reported_without_its_passwords() -> None:
    wrong = {"LDAP_ADMIN_PASSWD": "hunter2", "a": 1, "B": b"", "C": [b"", float("nan")]}
    with pytest.raises(Refusal) as refused:
        load([host("quay.example.com", quay_config=wrong)])
    (problem,) = refused.value.problems
    assert all(message in problem for message in ("'a' does", "B is", "C[0] is", "C[1] is"))
    assert "hunter2" not in problem


def test_values_that_config_yaml_can_have() -> None:
    value = {"A": {"b": [2**63 - 1, 1.5, True, None, "x", {"c": ("d",)}]}, "A_B2": "", "C": [[]]}
    made, _ = load([host("quay.example.com", quay_config=value)])
    assert made.quay_config == value
